"""Reads the body of a request within bounds of size and time, and hands it on."""

import asyncio
from typing import Any

from metacompress_server.errors import RequestError

from .error_middleware import Message, Receive
from .gate import Visit

BODY_TIMEOUT_S = 60.0


class ClientGone(Exception):
    """The client hung up before its request was complete; there is nobody to answer."""


def declared_length(headers: dict[bytes, bytes]) -> int | None:
    """`Content-Length`, None where there is none; the HTTP server lets only numbers through."""
    text = headers.get(b"content-length")
    return None if text is None else int(text)


def check_length(headers: dict[bytes, bytes], max_bytes: int, *, required: bool) -> None:
    """Refuse a body by what it says of itself, before a byte of it is read.

    Raises:
        RequestError: too large, or, where `required`, it does not say.
    """
    length = declared_length(headers)
    if length is not None and length > max_bytes:
        raise too_large(max_bytes)
    if required and length is None and b"transfer-encoding" in headers:
        raise RequestError("Content-Length is missing", code="length_required", status=411)


async def read_body(receive: Receive, visit: Visit, max_bytes: int) -> bytes:
    """The complete body.

    Raises:
        RequestError: larger than `max_bytes`, or slower than a minute.
        Refused: all bodies of the server together are too large.
        ClientGone: the client hung up.
    """
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await _read(receive, visit, max_bytes)
    except TimeoutError:
        raise RequestError(
            "the request did not arrive in time", code="request_timeout", status=408
        ) from None


async def _read(receive: Receive, visit: Visit, max_bytes: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        if len(body) + len(chunk) > max_bytes:
            raise too_large(max_bytes)
        visit.hold(len(chunk))
        body += chunk
        if not message.get("more_body", False):
            return bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """`receive` for the app: the body at once, then whatever comes after it, as a hang-up."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def with_length(scope: Message, body: bytes) -> dict[str, Any]:
    """The scope of a request whose body has changed."""
    left = (b"content-length", b"transfer-encoding")
    headers = [pair for pair in scope["headers"] if pair[0] not in left]
    headers.append((b"content-length", str(len(body)).encode()))
    return {**scope, "headers": headers}


def too_large(max_bytes: int) -> RequestError:
    """The refusal of a body that is too large."""
    return RequestError(
        f"a request has at most {max_bytes} bytes here", code="request_too_large", status=413
    )
