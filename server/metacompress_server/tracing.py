"""Spans of what this server does for a request, in the trace of vLLM's own; nothing when off.

On where vLLM's tracing is (`--otlp-traces-endpoint`), which sets up the exporter.
"""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

INTAKE = "metacompress.intake"
PREFILL = "metacompress.prefill"
ENCODER_PREFIX = "metacompress."
"""Before the parts of `engine_calls`: `encode` and `compress`."""

_tracer: "Tracer | None" = None


def start_tracing() -> None:
    """From here on, spans are made. vLLM has chosen where they go."""
    from opentelemetry import trace

    global _tracer
    _tracer = trace.get_tracer("metacompress")


def is_tracing() -> bool:
    """Whether spans are made in this process."""
    return _tracer is not None


@contextmanager
def span(name: str) -> Iterator["Span | None"]:
    """What happens inside, as a child of what runs. Gives None, at no cost, when tracing is off.

    An exception gives the span the status of an error, and no text: it could hold content.
    """
    if _tracer is None:
        yield None
        return
    from opentelemetry.trace import StatusCode

    with _tracer.start_as_current_span(
        name, record_exception=False, set_status_on_exception=False
    ) as made:
        try:
            yield made
        except BaseException:
            made.set_status(StatusCode.ERROR)
            raise


def current_context() -> "Context | None":
    """The trace that runs, for `past_span`; None when tracing is off."""
    if _tracer is None:
        return None
    from opentelemetry.context import get_current

    return get_current()


def past_span(
    name: str, start_s: float, seconds: float, parent: "Context | None", **attributes: int
) -> None:
    """What was over before it was told. Nothing when tracing is off.

    Args:
        start_s: since 1970.
    """
    if _tracer is None:
        return
    made = _tracer.start_span(name, parent, attributes=attributes, start_time=_nanos(start_s))
    made.end(_nanos(start_s + seconds))


def describe(parent: "Context | None", attributes: dict[str, Any]) -> None:
    """Add attributes to the span that `current_context` gave. Nothing when tracing is off."""
    if _tracer is not None:
        from opentelemetry import trace

        trace.get_current_span(parent).set_attributes(attributes)


@contextmanager
def request_span(
    name: str, headers: MutableMapping[str, str], attributes: dict[str, Any]
) -> Iterator["Span | None"]:
    """The whole of a request. Joins the trace that the headers name, and puts itself there.

    Args:
        headers: `traceparent` and `tracestate` of the client, replaced by ours for vLLM.
    """
    if _tracer is None:
        yield None
        return
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    propagator = TraceContextTextMapPropagator()
    with _tracer.start_as_current_span(
        name,
        propagator.extract(headers),
        SpanKind.SERVER,
        attributes,
        record_exception=False,
    ) as made:
        headers.clear()
        propagator.inject(headers)
        yield made


def _nanos(seconds: float) -> int:
    return round(seconds * 1e9)
