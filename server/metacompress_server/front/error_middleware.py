"""ASGI middleware that gives every failed request OpenAI's error envelope."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .error_translation import translate

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


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
        body = json.dumps(translate(status, json.loads(self._body or b"{}"))).encode()
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
