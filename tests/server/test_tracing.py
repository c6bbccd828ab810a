import time

from metacompress_server import tracing
from metacompress_server.engine.turn_spans import wall_clock


def test_nothing_is_made_while_tracing_is_off() -> None:
    assert not tracing.is_tracing()
    assert tracing.current_context() is None
    headers = {"traceparent": "of the client"}
    with tracing.span("a") as one, tracing.request_span("b", headers, {}) as two:
        assert (one, two) == (None, None)
    assert headers == {"traceparent": "of the client"}
    tracing.past_span("c", 0.0, 1.0, None)
    tracing.describe(None, {"a": 1})


def test_an_engines_time_is_told_by_the_wall_clock() -> None:
    now = time.time()
    assert abs(wall_clock(time.monotonic() - 2.0, since=now - 5.0) - (now - 2.0)) < 1.0


def test_an_engines_time_lies_between_arrival_and_now() -> None:
    arrived = time.time() - 1.0
    assert wall_clock(time.monotonic() - 1e6, since=arrived) == arrived
    assert arrived < wall_clock(time.monotonic() + 1e6, since=arrived) <= time.time()
