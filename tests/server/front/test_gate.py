import pytest

from metacompress_server.front.gate import Bucket, Gate, Refused
from metacompress_server.tenants import Tenant


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_fills_over_time_and_not_beyond_its_minute() -> None:
    clock = Clock()
    bucket = Bucket(60, clock)
    assert bucket.take(60) == 0
    assert bucket.take(1) == pytest.approx(1.0)
    clock.now = 1.0
    assert bucket.take(1) == 0
    clock.now = 1000.0
    assert bucket.take(61) == pytest.approx(1.0)
    assert bucket.take(60) == 0


def test_bodies_together_have_a_limit() -> None:
    gate = Gate(1.0, max_bytes=10)
    first, second = gate.enter(Tenant("a")), gate.enter(Tenant("b"))
    first.hold(6)
    with pytest.raises(Refused, match="limit"):
        second.hold(5)
    first.leave()
    second.hold(5)
    second.leave()
    assert (gate.held_bytes, gate.in_flight) == (0, 0)


def test_a_tenant_does_not_use_up_anothers_minute() -> None:
    gate = Gate(1.0, max_bytes=10, clock=Clock())
    gate.enter(Tenant("a", max_requests_per_minute=1))
    with pytest.raises(Refused) as refused:
        gate.enter(Tenant("a", max_requests_per_minute=1))
    assert refused.value.retry_after_s == pytest.approx(60.0)
    gate.enter(Tenant("b", max_requests_per_minute=1))
