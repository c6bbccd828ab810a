"""ASGI middleware that writes one log line for every request: what was asked, how it ended."""

import logging
import sys
import time
from http import HTTPStatus

from metacompress_server.logs import LOGGER
from metacompress_server.request_context import current_request

from .error_middleware import App, Message, Receive, Send
from .routes import Kind, kind_of

_GONE = 499
"""nginx's status for a client that hung up before there was an answer."""

_QUIET = (Kind.PROBE, Kind.METRICS)

logger = logging.getLogger(f"{LOGGER}.access")


class AccessLog:
    """Route templates and no paths, which hold ids. Probes are told only when they fail."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["app"].state.front.access_log:
            await self._app(scope, receive, send)
            return
        status, begun = _GONE, time.perf_counter()

        async def send_seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_seen)
        finally:
            if status >= HTTPStatus.BAD_REQUEST or kind_of(scope["path"]) not in _QUIET:
                _write(scope["method"], status, time.perf_counter() - begun)


def _write(method: str, status: int, seconds: float) -> None:
    request = current_request()
    route = request.route if request is not None else None
    level = logging.ERROR if status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO
    duration = round(seconds, 6)
    fields = {"method": method, "route": route, "status": status, "duration_s": duration}
    words = (method, route or "-", status, seconds, request.request_id if request else "-")
    logger.log(level, "%s %s %d in %.3f s, request %s", *words, extra={"fields": fields})


def write_as_text() -> None:
    """Give the lines a place where no logging configuration did: standard output, as uvicorn's."""
    if not logger.hasHandlers():
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.propagate = False
        logger.setLevel(logging.INFO)
