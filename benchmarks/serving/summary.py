"""From turns to figures: quantiles, goodput, and ratios that are paired block by block."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.serving.turns import Outcome, Turn

SLO_TTFT_S = 0.5
SLO_GAP_S = 0.05
"""A turn is good whose first token comes within the one, and the others on average in the other."""

_DRAWS = 10_000
_QUANTILES = {"p50": 50, "p95": 95, "p99": 99}

Key = tuple[str, int]
"""Dialogue and number: the same turn in the hands of another server."""


def quantiles(values: Sequence[float]) -> dict[str, float] | None:
    """p50, p95 and p99; None of nothing."""
    if not values:
        return None
    found = np.percentile(values, list(_QUANTILES.values()))
    return {name: round(float(value), 5) for name, value in zip(_QUANTILES, found, strict=True)}


def is_good(turn: Turn) -> bool:
    """Whether a turn kept the SLO."""
    mean_gap = sum(turn.gaps_s) / len(turn.gaps_s) if turn.gaps_s else 0.0
    return not turn.failure and turn.ttft_s <= SLO_TTFT_S and mean_gap <= SLO_GAP_S


def first(turns: Iterable[Turn]) -> list[Turn]:
    """Answered first turns."""
    return [turn for turn in turns if turn.number == 0 and not turn.failure]


def later(turns: Iterable[Turn]) -> list[Turn]:
    """Answered later turns."""
    return [turn for turn in turns if turn.number > 0 and not turn.failure]


def describe(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Everything about one contestant in one cell.

    Args:
        outcomes: of its blocks.
    """
    turns = [turn for outcome in outcomes for turn in outcome.turns]
    answered = [turn for turn in turns if not turn.failure]
    seconds = sum(outcome.seconds for outcome in outcomes)
    sessions = sum(len({turn.dialogue for turn in outcome.turns}) for outcome in outcomes)
    return {
        "turns": len(turns),
        "failures": _counts(turn.failure for turn in turns if turn.failure),
        "ttft_first_s": quantiles([turn.ttft_s for turn in first(turns)]),
        "ttft_later_s": quantiles([turn.ttft_s for turn in later(turns)]),
        "itl_s": quantiles([gap for turn in answered for gap in turn.gaps_s]),
        "turns_per_s": round(len(answered) / seconds, 4),
        "tokens_per_s": round(sum(turn.tokens for turn in answered) / seconds, 3),
        "good_turns_per_s": round(sum(map(is_good, turns)) / seconds, 4),
        "good_share": round(sum(map(is_good, turns)) / len(turns), 4),
        "tower_runs_per_session": round(_moved(outcomes, "tower_runs") / sessions, 4),
        "preemptions": int(_moved(outcomes, "preemptions")),
        "tower_s_per_session": round(_moved(outcomes, "encode_s") / sessions, 5),
        "reduction_s_per_session": round(_moved(outcomes, "compress_s") / sessions, 6),
        "accuracy_per_turn": _accuracy(answered),
    }


def paired_ratio(
    ours: Sequence[Outcome],
    theirs: Sequence[Outcome],
    chosen: Callable[[Iterable[Turn]], list[Turn]],
    value: Callable[[Turn], float],
) -> dict[str, Any] | None:
    """How many times one server's value is another's, turn by turn, in the geometric mean.

    The same turn of the same block is compared, so that neither the question nor the state of the
    machine tells them apart; the interval is of 95 %, from drawing blocks again.

    Returns:
        `{"value", "ci95"}`; None where no turn was answered by both.
    """
    blocks = []
    for one, other in zip(ours, theirs, strict=True):
        logs = _log_ratios(_by_key(chosen(one.turns)), _by_key(chosen(other.turns)), value)
        if logs:
            blocks.append(sum(logs) / len(logs))
    return _estimate(blocks)


def block_ratio(
    ours: Sequence[Outcome], theirs: Sequence[Outcome], value: Callable[[Outcome], float]
) -> dict[str, Any] | None:
    """The same for a value that a whole block has; None where one of them is 0."""
    pairs = [(value(one), value(other)) for one, other in zip(ours, theirs, strict=True)]
    if not all(one > 0 and other > 0 for one, other in pairs):
        return None
    return _estimate([math.log(one / other) for one, other in pairs])


def answered_per_s(outcome: Outcome) -> float:
    """Turns."""
    return sum(not turn.failure for turn in outcome.turns) / outcome.seconds


def compared(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> dict[str, Any]:
    """Paired ratios of one contestant to another: below 1 is better but for turns per second."""
    return {
        "ttft_first": paired_ratio(ours, theirs, first, lambda turn: turn.ttft_s),
        "ttft_later": paired_ratio(ours, theirs, later, lambda turn: turn.ttft_s),
        "total_first": paired_ratio(ours, theirs, first, lambda turn: turn.total_s),
        "total_later": paired_ratio(ours, theirs, later, lambda turn: turn.total_s),
        "turns_per_s": block_ratio(ours, theirs, answered_per_s),
    }


def _log_ratios(
    ours: Mapping[Key, Turn], theirs: Mapping[Key, Turn], value: Callable[[Turn], float]
) -> list[float]:
    return [math.log(value(ours[key]) / value(theirs[key])) for key in ours if key in theirs]


def _by_key(turns: Iterable[Turn]) -> dict[Key, Turn]:
    return {(turn.dialogue, turn.number): turn for turn in turns}


def _estimate(logs: Sequence[float]) -> dict[str, Any] | None:
    """Of the mean of logarithms, as ratios. One block has no interval but itself."""
    if not logs:
        return None
    draws = np.random.default_rng(0).integers(0, len(logs), (_DRAWS, len(logs)))
    low, high = np.percentile(np.asarray(logs)[draws].mean(axis=1), [2.5, 97.5])
    value = math.exp(sum(logs) / len(logs))
    return {
        "value": round(value, 4),
        "ci95": [round(math.exp(low), 4), round(math.exp(high), 4)],
    }


def _moved(outcomes: Sequence[Outcome], counter: str) -> float:
    return sum(outcome.moved[counter] for outcome in outcomes)


def _counts(reasons: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for reason in reasons:
        found[reason] = found.get(reason, 0) + 1
    return found


def _accuracy(turns: Sequence[Turn]) -> list[dict[str, Any]] | None:
    """Share of right answers by turn, with how many were asked; None without right answers."""
    numbers = sorted({turn.number for turn in turns if turn.right is not None})
    rows = []
    for number in numbers:
        rights = [turn.right for turn in turns if turn.number == number and turn.right is not None]
        rows.append({"value": round(sum(rights) / len(rights), 4), "answers": len(rights)})
    return rows or None
