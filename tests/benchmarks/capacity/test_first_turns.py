import pytest

from benchmarks.capacity.first_turns import fitted
from benchmarks.capacity.subject import CapacityCheckError


def test_overhead_and_rate_of_a_line_are_found() -> None:
    texts = [(work, 0.05 + work / 1e9) for work in (1_000_000, 50_000_000, 200_000_000)] * 5
    overhead, rate = fitted(texts)
    assert overhead == pytest.approx(0.05)
    assert rate == pytest.approx(1e9)


def test_one_slow_question_of_a_length_changes_nothing() -> None:
    texts = [(work, 0.05 + work / 1e9) for work in (1_000_000, 50_000_000, 200_000_000)] * 5
    texts[4] = (50_000_000, 3.0)
    overhead, rate = fitted(texts)
    assert overhead == pytest.approx(0.05)
    assert rate == pytest.approx(1e9)


def test_noise_is_no_rate() -> None:
    with pytest.raises(CapacityCheckError, match="noisy"):
        fitted([(1_000_000, 0.3), (50_000_000, 0.2), (200_000_000, 0.1)])
