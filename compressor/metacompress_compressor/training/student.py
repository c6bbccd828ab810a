"""The loss terms of some dialogues: the LVLM with all tokens is the teacher, with m the student."""

from collections.abc import Sequence

import torch
from torch import Tensor

from metacompress_compressor.adapters import Adapter, Placement
from metacompress_compressor.artifact import Positions
from metacompress_compressor.layout import PictureLayout, compressed_layout, layout_positions
from metacompress_compressor.mapping import TokenMapping
from metacompress_compressor.picture_mapping import apply_weights, compression_weights_of
from metacompress_compressor.windows import WindowKind

from .corpus import Corpus
from .losses import column_loss, entropy_loss, prediction_loss
from .teacher import CachedTeacher, teacher_logits

TERMS = ("kl", "entropy", "column")


def placement_for(
    layout: PictureLayout, retention_ratio: float, windows: WindowKind, positions: Positions
) -> Placement:
    """Where the mapping's outputs for a picture stand in the language model."""
    compressed = compressed_layout(layout, retention_ratio, windows)
    if positions == "contiguous":
        return Placement.contiguous(compressed.num_tokens)
    offsets = layout_positions(layout, compressed, windows)
    return Placement(tuple(offsets), layout.num_tokens)


class Student:
    """A mapping before the frozen language model, compared with that model's own answers.

    Args:
        adapter: the frozen LVLM; its language model is in the dtype to train with.
        corpus: dialogues with features.
        teacher: gives the teacher's logits of some dialogues, by their numbers; None to compute
            them every time.
        mapping: float32, on the adapter's device.
        positions: where its outputs stand in the language model.
    """

    def __init__(
        self,
        adapter: Adapter,
        corpus: Corpus,
        teacher: CachedTeacher | None,
        mapping: TokenMapping,
        positions: Positions,
    ) -> None:
        self._adapter = adapter
        self._corpus = corpus
        self._teacher = teacher
        self._positions: Positions = positions
        self.mapping = mapping

    def num_answer_tokens(self, index: int) -> int:
        """How many answer tokens a dialogue has."""
        return sum(map(len, self._corpus.encoded[index].answer_indices))

    def terms(
        self, dialogues: Sequence[tuple[int, float]], batch_tokens: int, batch_dialogues: int
    ) -> Tensor:
        """What some dialogues contribute to the loss terms of their batch.

        Args:
            dialogues: number and retention ratio of each, pictures and budgets as they come.
            batch_tokens, batch_dialogues: answer tokens and dialogues of the whole batch: the
                contributions of its pieces add up to the batch's means.

        Returns:
            `[3]` float32, in the order of `TERMS`: the KL divergence per answer token, the mean
            entropy of P's rows, the largest column sum of P; the last two as means over pictures.
        """
        device = self._adapter.device
        indices = [index for index, _ in dialogues]
        text = self._corpus.text(indices, device)
        visual = [self._corpus.visual(index, device) for index in indices]
        if self._teacher is None:
            teacher = teacher_logits(self._adapter, text, visual)
        else:
            teacher = self._teacher(indices)
        outputs, placements, entropy, column = self._compress(dialogues, visual)
        student = self._adapter.answer_logits(text, outputs, placements)
        kl = prediction_loss(student, teacher) * (len(teacher) / batch_tokens)
        return torch.stack([kl, entropy / batch_dialogues, column / batch_dialogues])

    def _compress(
        self, dialogues: Sequence[tuple[int, float]], visual: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[Placement], Tensor, Tensor]:
        """Outputs and placements of each dialogue's picture; entropy and column summed over them.

        Pictures of one layout and budget go through the mapping together.
        """
        groups: dict[tuple[PictureLayout, float], list[int]] = {}
        for place, (index, ratio) in enumerate(dialogues):
            groups.setdefault((self._corpus.layout(index), ratio), []).append(place)
        outputs: dict[int, Tensor] = {}
        placements: dict[int, Placement] = {}
        regularisers = torch.zeros(2, device=self._adapter.device)
        for (layout, ratio), places in groups.items():
            x = torch.stack([visual[place] for place in places])
            weights = compression_weights_of(self.mapping, x, layout, ratio)
            compressed = apply_weights(self.mapping, weights, x, layout, ratio)
            outputs |= dict(zip(places, compressed, strict=True))
            placement = placement_for(layout, ratio, self.mapping.windows, self._positions)
            placements |= dict.fromkeys(places, placement)
            terms = torch.stack([entropy_loss(weights), column_loss(weights)])
            regularisers = regularisers + len(places) * terms
        order = range(len(dialogues))
        entropy, column = regularisers.unbind()
        return [outputs[i] for i in order], [placements[i] for i in order], entropy, column
