"""Accuracy of a few methods at one budget, for a training run's own record."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from metacompress_compressor.adapters import Adapter
from metacompress_compressor.artifact import Positions
from metacompress_compressor.reductions import Budget
from metacompress_compressor.training.corpus import Corpus
from metacompress_compressor.windows import WindowKind

from .scoring import Method, Trial, score_batch


def evaluate(
    adapter: Adapter,
    corpus: Corpus,
    methods: Sequence[Method],
    retention_ratio: float,
    positions: Positions,
    *,
    windows: WindowKind = "2d",
    batch_size: int = 16,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Accuracy of every method at one budget.

    Args:
        adapter: the frozen LVLM, in the dtype it is to be judged in.
        corpus: dialogues with features.
        methods: their names are the keys of the result; `Full` keeps all tokens.
        retention_ratio: the budget.
        positions: `kept` leaves tokens at their places in the picture, for every method.
        windows: whose rule makes m of the budget, for methods that take any m.
        batch_size: dialogues in a pass.
        on_progress: called with dialogues done and dialogues in all.

    Returns:
        Settings of the measurement, and per method: visual tokens (of the first
        dialogue's picture), accuracy over all turns, by number of the turn and by kind of question.
    """
    trials = [
        Trial(method, 1.0 if method.name == "full" else retention_ratio, rule, positions)
        for method in methods
        for rule in [method.windows or windows]
    ]
    right: dict[Trial, dict[int, list[bool]]] = {trial: {} for trial in trials}
    for indices in corpus.uniform_batches(batch_size):
        for trial, found in score_batch(adapter, corpus, indices, trials).items():
            right[trial].update(zip(indices, found, strict=True))
        on_progress(len(right[trials[0]]), len(corpus))
    return {
        "retention_ratio": retention_ratio,
        "positions": positions,
        "dialogues": len(corpus),
        "turns": sum(len(dialogue.turns) for dialogue in corpus.dialogues),
        "methods": {
            trial.method.name: {
                "visual_tokens": visual_tokens(corpus, trial, 0),
                **accuracies(corpus, right[trial]),
            }
            for trial in trials
        },
    }


def visual_tokens(corpus: Corpus, trial: Trial, index: int) -> int:
    """How many tokens a trial leaves of the picture of a dialogue."""
    return Budget(corpus.layout(index), trial.retention_ratio, trial.windows).num_tokens


def accuracies(corpus: Corpus, right: dict[int, list[bool]]) -> dict[str, Any]:
    """Accuracy over all turns, by number of the turn and by kind of question.

    Args:
        corpus: the dialogues.
        right: for each dialogue's number, its turns' scores.
    """
    by_turn: dict[int, list[float]] = defaultdict(list)
    by_kind: dict[str, list[float]] = defaultdict(list)
    for index, scores in right.items():
        turns = corpus.dialogues[index].turns
        for number, (turn, score) in enumerate(zip(turns, scores, strict=True)):
            by_turn[number].append(score)
            by_kind[turn.kind].append(score)
    everything = [score for scores in by_turn.values() for score in scores]
    return {
        "accuracy": _mean(everything),
        "per_turn": [_mean(by_turn[number]) for number in sorted(by_turn)],
        "per_kind": {kind: _mean(by_kind[kind]) for kind in sorted(by_kind)},
    }


def _mean(scores: Sequence[float]) -> float:
    return round(sum(scores) / len(scores), 4)
