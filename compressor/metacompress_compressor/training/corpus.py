"""Dialogues ready for the model: encoded, checked for length, joined to picture features."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metacompress_compressor.adapters import Adapter, DialogueBatch, EncodedDialogue, collate
from metacompress_compressor.layout import PictureLayout

from .dialogues import DataError, Dialogue, DialogueSet
from .features import Features, picture_layout


@dataclass(frozen=True)
class Corpus:
    """Dialogues, their tokens, and the features of their pictures.

    Attributes:
        dialogues, encoded: the same dialogues in the same order.
        image_rows: for each dialogue, its picture's row in `features`.
        features: visual tokens of the pictures, memory-mapped.
    """

    dialogues: tuple[Dialogue, ...]
    encoded: tuple[EncodedDialogue, ...]
    image_rows: tuple[int, ...]
    features: Features

    def __len__(self) -> int:
        return len(self.dialogues)

    def layout(self, index: int) -> PictureLayout:
        """The arrangement of the visual tokens of a dialogue's picture."""
        return self.features.layouts[self.image_rows[index]]

    def visual(self, index: int, device: torch.device) -> Tensor:
        """The visual tokens of a dialogue's picture, `[N, D]` float32."""
        return self.features[self.image_rows[index]].to(device, torch.float32)

    def text(self, indices: Sequence[int], device: torch.device) -> DialogueBatch:
        """Dialogues as a padded batch."""
        return collate([self.encoded[index] for index in indices]).to(device)

    def batch(self, indices: Sequence[int], device: torch.device) -> tuple[DialogueBatch, Tensor]:
        """Dialogues as a padded batch, and their visual tokens `[B, N, D]` float32.

        Raises:
            ValueError: their pictures have different layouts.
        """
        if len({self.layout(index) for index in indices}) > 1:
            raise ValueError("the pictures of these dialogues have different layouts")
        visual = torch.stack([self.features[self.image_rows[index]] for index in indices])
        return self.text(indices, device), visual.to(device, torch.float32)

    def uniform_batches(self, batch_size: int) -> list[list[int]]:
        """All dialogues once, in batches whose pictures have one layout, of similar lengths."""
        of_layout: dict[PictureLayout, list[int]] = {}
        for index in sorted(range(len(self)), key=lambda i: len(self.encoded[i].token_ids)):
            of_layout.setdefault(self.layout(index), []).append(index)
        return [
            indices[start : start + batch_size]
            for indices in of_layout.values()
            for start in range(0, len(indices), batch_size)
        ]


def encode_dialogues(
    adapter: Adapter, data: DialogueSet
) -> tuple[DialogueSet, tuple[EncodedDialogue, ...]]:
    """Encode dialogues and set those aside that the model cannot hold.

    Returns:
        The dialogues that fit, with a problem added for each that does not, and their tokens.

    Raises:
        DataError: none fits.
    """
    kept: list[Dialogue] = []
    encoded: list[EncodedDialogue] = []
    problems = list(data.problems)
    for dialogue in data.dialogues:
        try:
            tokens = _encode(adapter, dialogue)
        except ValueError as error:
            problems.append(f"{dialogue.source}: {error}")
            continue
        kept.append(dialogue)
        encoded.append(tokens)
    if not kept:
        raise DataError(f"no dialogue fits the model; the first problem: {problems[0]}")
    return DialogueSet(tuple(kept), tuple(problems)), tuple(encoded)


def join_features(
    data: DialogueSet, encoded: tuple[EncodedDialogue, ...], features: Features
) -> Corpus:
    """Put dialogues and the features of `data.images`, in that order, together."""
    row_of = {image: row for row, image in enumerate(data.images)}
    image_rows = tuple(row_of[dialogue.image] for dialogue in data.dialogues)
    return Corpus(data.dialogues, encoded, image_rows, features)


def _encode(adapter: Adapter, dialogue: Dialogue) -> EncodedDialogue:
    encoded = adapter.dialogues.encode([dialogue.turns])[0]
    positions = len(encoded.token_ids) - 1 + picture_layout(adapter, dialogue.image).num_tokens
    if positions > adapter.max_positions:
        raise ValueError(
            f"{positions} positions with the picture; the model has {adapter.max_positions}"
        )
    return encoded
