"""OpenAI's error envelope for every refusal of the server, whoever wrote it first.

RequestError            refused by us: status, message, param and code as given
"""

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

ERROR_MIDDLEWARE = "metacompress_server.errors.OpenAIErrors"
"""For vLLM's `--middleware`, which puts it outside vLLM's own, authentication included."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class RequestError(Exception):
    """A request that the server refuses, in words for its author."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.status = status

    def envelope(self) -> dict[str, Any]:
        """The body of the answer."""
        return envelope(self.status, self.message, self.param, self.code)


def envelope(
    status: int, message: str, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """OpenAI's error object."""
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}

# What vLLM says, what OpenAI calls it, and our words where vLLM's carry a library's.
_KNOWN: tuple[tuple[re.Pattern[str], str, str | None, str | None], ...] = (
    (re.compile(r"The model `.*` does not exist"), "model_not_found", "model", None),
    (
        re.compile(r"maximum context length|maximum model length|prompt's positions"),
        "context_length_exceeded",
        "messages",
        None,
    ),
    (re.compile(r"At most \d+ image"), "too_many_images", "messages", None),
    (
        re.compile(
            r"cannot identify image|image file is truncated|broken data stream|Failed to load image"
        ),
        "invalid_image",
        "messages",
        "a picture in the request could not be read: broken, or not a picture",
    ),
    (
        re.compile(r"base64|Incorrect padding|Invalid data URL"),
        "invalid_base64_image",
        "messages",
        "a picture's data URL does not hold valid base64",
    ),
)


def translate(status: int, body: Any) -> dict[str, Any]:
    """Any error body that vLLM, FastAPI or Starlette writes, in OpenAI's envelope."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        detail = error or (body.get("detail") if isinstance(body, dict) else None)
        return envelope(
            status, detail if isinstance(detail, str) else _PHRASES.get(status, "Error")
        )
    code, param = error.get("code"), error.get("param")
    message = re.sub(r" \(parameter=.*\)$", "", str(error.get("message")), flags=re.DOTALL)
    if isinstance(code, str):
        return envelope(status, message, param, code)
    if status >= 500:
        return envelope(status, _PHRASES[500])
    for pattern, known_code, known_param, words in _KNOWN:
        if pattern.search(message):
            return envelope(status, words or message, known_param or param, known_code)
    found = _INVALID.search(message)
    if found:
        field = (found["loc"] or found["line"]).removeprefix("body.")
        complaint = f"{field}: {found['msg'] or found['text']}"
        if found["msg"] == "JSON decode error":
            return envelope(status, "the request is not JSON", None, "invalid_json")
        return envelope(status, complaint, field, "invalid_value")
    return envelope(status, message, param)


# The first complaint of pydantic, as vLLM's handler and as pydantic itself write it.
_INVALID = re.compile(
    r"'loc': '(?P<loc>[^']*)', 'msg': '(?P<msg>[^']*)'"
    r"|validation errors? for .*\n(?P<line>\S+)\n  (?P<text>.+?) \[type="
)
_PHRASES = {
    401: "Missing or wrong API key",
    404: "Not found",
    405: "Method not allowed",
    500: "The server could not answer this request.",
}


class OpenAIErrors:
    """ASGI middleware that rewrites JSON error answers through `translate`."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        rewriter = _ErrorRewriter(send)
        try:
            await self._app(scope, receive, rewriter)
        except Exception:
            await rewriter.fail()
            raise


class _ErrorRewriter:
    """Holds an error answer back until its body is complete; lets everything else through."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = b""
        self._begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_json_error(message):
            self._start = message
            return
        self._begun = True
        if self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self._start)

    async def fail(self) -> None:
        """Answer an exception that nothing inside caught, unless an answer has begun."""
        if not self._begun:
            await self._finish({**_SERVER_ERROR, "headers": [(b"content-type", _JSON)]})

    async def _finish(self, start: Message) -> None:
        status = start["status"]
        try:
            body = json.dumps(translate(status, json.loads(self._body))).encode()
        except ValueError:
            body = json.dumps(envelope(status, _PHRASES.get(status, "Error"))).encode()
        headers = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await self._send({**start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


_JSON = b"application/json"
_SERVER_ERROR: Message = {"type": "http.response.start", "status": 500}


def _is_json_error(start: Message) -> bool:
    content_type: bytes = dict(start["headers"]).get(b"content-type", b"")
    failed: bool = start["status"] >= 400
    return failed and content_type.startswith(_JSON)
