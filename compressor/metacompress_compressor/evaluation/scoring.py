"""Which answers of some dialogues are right, for every method at every budget.

An answer counts as right if greedy decoding would give exactly it, end token included, with the
dialogue's earlier answers as written in the data. That is the case if every answer token is the
most likely one given those before it, so one forward pass decides all turns of a dialogue.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from metacompress_compressor.adapters import Adapter, DialogueBatch, Placement
from metacompress_compressor.artifact import Positions
from metacompress_compressor.reductions import Budget, FastV, PictureBatch, Reduced, Reduction
from metacompress_compressor.training.corpus import Corpus
from metacompress_compressor.windows import WindowKind

Method = Reduction | FastV


@dataclass(frozen=True)
class Trial:
    """One method at one budget with one rule of positions.

    Attributes:
        method: what is tried.
        retention_ratio: the budget; 1 for all tokens.
        windows: whose rule makes m of it.
        positions: `kept` leaves tokens at their places in the picture.
    """

    method: Method
    retention_ratio: float
    windows: WindowKind
    positions: Positions

    @property
    def key(self) -> str:
        """Names the trial among those of one evaluation."""
        return f"{self.method.name} {self.retention_ratio:g} {self.windows} {self.positions}"


def score_batch(
    adapter: Adapter, corpus: Corpus, indices: Sequence[int], trials: Sequence[Trial]
) -> dict[Trial, list[list[bool]]]:
    """Try everything on a few dialogues; pictures are seen by the tower at most once.

    Args:
        adapter: the frozen LVLM.
        corpus: dialogues with features.
        indices: dialogues whose pictures have one layout.
        trials: those of one method and budget must stand together.

    Returns:
        For each trial and dialogue, which turns are answered right.
    """
    batch = corpus.text(indices, adapter.device)
    pictures = pictures_of(adapter, corpus, indices)
    turns = [len(corpus.dialogues[index].turns) for index in indices]
    with torch.no_grad():
        return {
            trial: [of_dialogue.tolist() for of_dialogue in torch.split(right, turns)]
            for trial, right in _answers(adapter, batch, pictures, trials)
        }


def pictures_of(adapter: Adapter, corpus: Corpus, indices: Sequence[int]) -> PictureBatch:
    """The pictures of a few dialogues, of one layout."""
    _, visual = corpus.batch(indices, adapter.device)
    paths = [corpus.dialogues[index].image for index in indices]
    layout = corpus.layout(indices[0])
    return PictureBatch(visual, layout, adapter, lambda: [_open(path) for path in paths])


def _answers(
    adapter: Adapter, batch: DialogueBatch, pictures: PictureBatch, trials: Sequence[Trial]
) -> Iterator[tuple[Trial, Tensor]]:
    """Each trial with its right turns `[turns]`, counted over the batch."""
    for method, of_method in groupby(trials, key=lambda trial: trial.method):
        if isinstance(method, FastV):
            first_layers = method.start(adapter, batch, pictures)
            for trial in of_method:
                m = _budget(trial, pictures).num_tokens
                logits = first_layers.answer_logits(m, trial.positions == "contiguous")
                yield trial, right_turns(logits, batch)
            continue
        for _, of_budget in groupby(of_method, key=lambda t: (t.retention_ratio, t.windows)):
            alike = list(of_budget)
            reduced = reduce_pictures(alike[0], pictures)
            for trial in alike:
                at = placement_of(reduced, pictures.tokens.shape[1], trial.positions)
                logits = adapter.answer_logits(batch, reduced.tokens, at)
                yield trial, right_turns(logits, batch)


def reduce_pictures(trial: Trial, pictures: PictureBatch) -> Reduced:
    """What a trial makes of pictures. The trial's method works before the language model."""
    if isinstance(trial.method, FastV):
        raise ValueError("FastV reduces nothing before the language model")
    return trial.method(pictures, _budget(trial, pictures))


def right_turns(logits: Tensor, batch: DialogueBatch) -> Tensor:
    """Which turns are answered exactly: `[turns]` bool, in the batch's order.

    Args:
        logits: `[A, V]`, as `Adapter.answer_logits` gives them.
        batch: the dialogues.
    """
    token_right = (logits.argmax(dim=-1) == batch.answer_ids).int()
    turns = torch.ones(int(batch.answer_turn.max()) + 1, dtype=torch.int32, device=logits.device)
    return turns.scatter_reduce(0, batch.answer_turn, token_right, "amin").bool()


def placement_of(reduced: Reduced, num_tokens: int, positions: Positions) -> Placement:
    """Where reduced tokens stand in the language model, of the picture's `num_tokens` places."""
    if positions == "contiguous":
        return Placement.contiguous(reduced.tokens.shape[1])
    return Placement(reduced.positions, num_tokens)


def _open(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def _budget(trial: Trial, pictures: PictureBatch) -> Budget:
    return Budget(pictures.layout, trial.retention_ratio, trial.windows)
