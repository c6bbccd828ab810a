"""Accuracy of a dialogue's answers on reduced visual tokens, for the mapping and plain baselines.

An answer counts as right if greedy decoding would give exactly it, end token included, with the
dialogue's earlier answers as written in the data. That is the case if every answer token is the
most likely one given those before it, so one forward pass decides all turns of a dialogue.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .adapters import Adapter, DialogueBatch, Placement
from .artifact import Positions
from .reductions import Reduced, Reduction
from .training.corpus import Corpus
from .training.dialogues import Turn


@dataclass(frozen=True)
class Outcome:
    """One answer of one method: the turn's number from 0, its kind, and whether it was right."""

    turn: int
    kind: str
    right: bool


@torch.no_grad()
def answers_right(adapter: Adapter, batch: DialogueBatch, visual: Tensor, at: Placement) -> Tensor:
    """Which turns of a batch are answered exactly: `[turns]` bool, in the batch's order."""
    logits = adapter.answer_logits(batch, visual, at)
    token_right = (logits.argmax(dim=-1) == batch.answer_ids).int()
    turns = torch.ones(int(batch.answer_turn.max()) + 1, dtype=torch.int32, device=logits.device)
    return turns.scatter_reduce(0, batch.answer_turn, token_right, "amin").bool()


def placement_of(reduced: Reduced, num_tokens: int, positions: Positions) -> Placement:
    """Where reduced tokens stand in the language model, of the picture's `num_tokens` places."""
    if positions == "contiguous":
        return Placement.contiguous(len(reduced.positions))
    return Placement(reduced.positions, num_tokens)


def evaluate(
    adapter: Adapter,
    corpus: Corpus,
    reductions: Sequence[Reduction],
    retention_ratio: float,
    positions: Positions,
    *,
    batch_size: int = 16,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Accuracy of every method at one budget.

    Args:
        adapter: the frozen LVLM, in the dtype it is to be judged in.
        corpus: dialogues with features.
        reductions: methods; their names are the keys of the result.
        retention_ratio: the budget.
        positions: `kept` leaves tokens at their places in the picture, for every method.
        batch_size: dialogues in a pass.
        on_progress: called with dialogues done and dialogues in all.

    Returns:
        Settings of the measurement, and per method: visual tokens, accuracy over all turns, by
        number of the turn and by kind of question.
    """
    outcomes: dict[str, list[Outcome]] = {reduction.name: [] for reduction in reductions}
    tokens: dict[str, int] = {}
    order = sorted(range(len(corpus)), key=lambda index: len(corpus.encoded[index].token_ids))
    for start in range(0, len(order), batch_size):
        indices = order[start : start + batch_size]
        batch, visual = corpus.batch(indices, adapter.device)
        turns = [turn for index in indices for turn in enumerate(corpus.dialogues[index].turns)]
        for reduction in reductions:
            with torch.no_grad():
                reduced = reduction(visual, adapter.grid, retention_ratio)
            at = placement_of(reduced, adapter.grid.num_tokens, positions)
            right = answers_right(adapter, batch, reduced.tokens, at)
            outcomes[reduction.name] += _outcomes(turns, right)
            tokens[reduction.name] = len(reduced.positions)
        on_progress(start + len(indices), len(order))
    return {
        "retention_ratio": retention_ratio,
        "positions": positions,
        "dialogues": len(corpus),
        "turns": sum(len(dialogue.turns) for dialogue in corpus.dialogues),
        "methods": {
            name: {"visual_tokens": tokens[name], **_summary(found)}
            for name, found in outcomes.items()
        },
    }


def _outcomes(turns: Sequence[tuple[int, Turn]], right: Tensor) -> Iterable[Outcome]:
    for (number, turn), is_right in zip(turns, right.tolist(), strict=True):
        yield Outcome(number, turn.kind, is_right)


def _summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    by_turn: dict[int, list[bool]] = defaultdict(list)
    by_kind: dict[str, list[bool]] = defaultdict(list)
    for outcome in outcomes:
        by_turn[outcome.turn].append(outcome.right)
        by_kind[outcome.kind].append(outcome.right)
    return {
        "accuracy": _share([outcome.right for outcome in outcomes]),
        "per_turn": [_share(by_turn[turn]) for turn in sorted(by_turn)],
        "per_kind": {kind: _share(by_kind[kind]) for kind in sorted(by_kind)},
    }


def _share(right: Sequence[bool]) -> float:
    return round(sum(right) / len(right), 4)
