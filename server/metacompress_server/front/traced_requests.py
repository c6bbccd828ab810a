"""ASGI middleware that makes every generating request a span, which vLLM's and ours are below."""

from http import HTTPStatus

from metacompress_server.request_context import current_request
from metacompress_server.tracing import request_span

from .error_middleware import App, Message, Receive, Send
from .routes import Kind, kind_of

_TRACE_HEADERS = (b"traceparent", b"tracestate")


class TracedRequests:
    """Stands inside the front door: who is not let in leaves no span."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or kind_of(scope["path"]) is not Kind.GENERATE:
            await self._app(scope, receive, send)
            return
        carrier = {
            name.decode(): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in _TRACE_HEADERS
        }
        with request_span(f"POST {scope['path']}", carrier, _attributes(scope)) as span:
            others = [pair for pair in scope["headers"] if pair[0] not in _TRACE_HEADERS]
            ours = [(name.encode(), value.encode()) for name, value in carrier.items()]
            scope["headers"] = [*others, *ours]

            async def send_noted(message: Message) -> None:
                if span is not None and message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
                        span.set_attribute("error.type", str(message["status"]))
                await send(message)

            await self._app(scope, receive, send_noted)


def _attributes(scope: Message) -> dict[str, str]:
    """OpenTelemetry's names where it has any."""
    request = current_request()
    known = {"http.request.method": scope["method"], "http.route": scope["path"]}
    if request is not None:
        known["metacompress.request_id"] = request.request_id
    return known
