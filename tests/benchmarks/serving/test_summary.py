"""Figures from turns: quantiles, goodput, ratios that pair what belongs together."""

import math

import pytest

from benchmarks.serving import summary
from benchmarks.serving.summary import block_ratio, compared, describe, first, paired_ratio
from benchmarks.serving.turns import Outcome, Turn

MOVED = {"preemptions": 1.0, "tower_runs": 2.0, "encode_s": 0.4, "compress_s": 0.02}


def turn(dialogue, number, ttft, **more):
    more = {"gaps_s": (0.01,), "total_s": ttft + 0.1, "tokens": 3, **more}
    return Turn(dialogue, number, 0.0, ttft_s=ttft, **more)


def outcome(*turns, seconds=2.0):
    return Outcome(turns, seconds, dict(MOVED))


def test_first_and_later_turns_are_told_apart_and_failures_counted():
    found = describe(
        [
            outcome(turn("a", 0, 0.4), turn("a", 1, 0.1), turn("b", 0, 0.6)),
            outcome(turn("c", 0, 0.2), turn("d", 0, 0.0, failure="status 503")),
        ]
    )
    assert found["turns"] == 5
    assert found["failures"] == {"status 503": 1}
    assert found["ttft_first_s"]["p50"] == pytest.approx(0.4)
    assert found["ttft_later_s"] == {"p50": 0.1, "p95": 0.1, "p99": 0.1}
    assert found["turns_per_s"] == 1.0
    assert found["tokens_per_s"] == 3.0
    assert found["tower_runs_per_session"] == 1.0
    assert found["preemptions"] == 2
    assert found["accuracy_per_turn"] is None


def test_goodput_counts_turns_that_kept_both_limits():
    slow_start = turn("b", 0, summary.SLO_TTFT_S * 1.1)
    slow_tokens = turn("c", 0, 0.1, gaps_s=(0.0, summary.SLO_GAP_S * 3))
    failed = turn("d", 0, 0.1, failure="x")
    found = describe([outcome(turn("a", 0, 0.1), slow_start, slow_tokens, failed)])
    assert found["good_share"] == 0.25
    assert found["good_turns_per_s"] == 0.5


def test_accuracy_is_of_each_turn():
    turns = [turn("a", 0, 1, right=True), turn("b", 0, 1, right=False), turn("a", 1, 1, right=True)]
    assert describe([outcome(*turns)])["accuracy_per_turn"] == [
        {"value": 0.5, "answers": 2},
        {"value": 1.0, "answers": 1},
    ]


def test_a_machine_that_gets_slower_does_not_change_a_paired_ratio():
    """Every block is three times as slow as the one before, for both."""
    full = [outcome(turn("a", 0, 3.0**n), turn("b", 0, 5 * 3.0**n)) for n in range(5)]
    ours = [outcome(turn("a", 0, 3.0**n / 4), turn("b", 0, 5 * 3.0**n / 4)) for n in range(5)]
    ratio = paired_ratio(ours, full, first, lambda one: one.ttft_s)
    assert ratio == {"value": 0.25, "ci95": [0.25, 0.25]}


def test_the_interval_holds_the_blocks_that_differ():
    full = [outcome(turn("a", 0, 1.0)) for _ in range(6)]
    ours = [outcome(turn("a", 0, value)) for value in (0.2, 0.3, 0.25, 0.2, 0.3, 0.25)]
    ratio = paired_ratio(ours, full, first, lambda one: one.ttft_s)
    assert ratio["value"] == pytest.approx(math.prod([0.2, 0.3, 0.25]) ** (1 / 3), abs=1e-4)
    assert 0.2 < ratio["ci95"][0] < ratio["value"] < ratio["ci95"][1] < 0.3


def test_only_turns_that_both_answered_are_compared():
    full = [outcome(turn("a", 0, 1.0), turn("b", 0, 9.0, failure="x"))]
    ours = [outcome(turn("a", 0, 0.5), turn("b", 0, 0.001))]
    assert paired_ratio(ours, full, first, lambda one: one.ttft_s)["value"] == 0.5
    nothing = [outcome(turn("z", 0, 1.0))]
    assert paired_ratio(nothing, full, first, lambda one: one.ttft_s) is None


def test_a_block_that_answered_nothing_has_no_ratio():
    full = [outcome(turn("a", 0, 1.0, failure="x"))]
    ours = [outcome(turn("a", 0, 1.0))]
    assert block_ratio(ours, full, summary.answered_per_s) is None
    assert compared(ours, ours)["turns_per_s"]["value"] == 1.0
    assert compared(ours, ours)["ttft_later"] is None
