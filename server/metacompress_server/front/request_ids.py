"""ASGI middleware that gives every request an id: in the answer's header and in the engine."""

import re
import uuid

from metacompress_server.request_context import begin_request

from .error_middleware import App, Message, Receive, Send

_HEADER = b"x-request-id"
_PLAIN = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class RequestIds:
    """The client's `X-Request-Id` comes back if it is plain, else one of ours.

    The engine is told an id that has a random part, so that no client can name another's request.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(_HEADER, b"")
        fresh = uuid.uuid4().hex.encode()
        shown = given if _PLAIN.fullmatch(given) else fresh
        inner = shown if shown == fresh else shown + b"-" + fresh
        begin_request(inner.decode())
        others = [pair for pair in scope["headers"] if pair[0] != _HEADER]

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [pair for pair in message["headers"] if pair[0].lower() != _HEADER]
                message = {**message, "headers": [*headers, (_HEADER, shown)]}
            await send(message)

        await self._app({**scope, "headers": [*others, (_HEADER, inner)]}, receive, send_with_id)
