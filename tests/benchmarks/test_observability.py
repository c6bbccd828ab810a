from collections.abc import Iterator

import pytest

from benchmarks import observability
from benchmarks.observability import RequestTimes, cost_s, hooks, report
from metacompress_server.front.access_log import logger


@pytest.fixture(autouse=True)
def access_log_as_it_was() -> Iterator[None]:
    before = logger.handlers, logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate, logger.level = before


def test_every_hook_is_a_hook_of_the_server() -> None:
    for hook in hooks():
        hook.call()
        hook.call()
        assert hook.calls(10) in (1, 10), hook.name


def test_a_call_costs_microseconds() -> None:
    (admission,) = (hook for hook in hooks() if hook.name == "ledger: admit and finish")
    assert 1e-8 < cost_s(admission) < 1e-3


def test_the_shares_are_those_of_the_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(observability, "cost_s", lambda hook: 1e-6)
    metrics = report(RequestTimes(later_turn_s=0.1, answer_tokens=5, engine_question_s=1e-3))
    calls = sum(hook.calls(5) for hook in hooks())
    assert metrics["hooks_s"] == pytest.approx(calls * 1e-6)
    assert metrics["hooks_share"] == pytest.approx(calls * 1e-5)
    assert metrics["share_at_most"] == pytest.approx(calls * 1e-5 + 0.01)
    assert "1.000%" in capsys.readouterr().out
