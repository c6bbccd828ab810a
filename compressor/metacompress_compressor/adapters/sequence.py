"""From encoded dialogues and visual tokens to one padded batch of embeddings and positions."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .dialogue_text import EncodedDialogue


@dataclass(frozen=True)
class Placement:
    """Where a picture's visual tokens stand in the language model's positions.

    Attributes:
        offsets: of each visual token, counted from the picture's first position: the same for all
            pictures of a batch, or `[B, M]` int64.
        span: positions that the picture takes up: the text behind it goes on there.
    """

    offsets: tuple[int, ...] | Tensor
    span: int

    @classmethod
    def contiguous(cls, num_tokens: int) -> "Placement":
        return cls(tuple(range(num_tokens)), num_tokens)


@dataclass(frozen=True)
class DialogueBatch:
    """Dialogues of one padded batch, each picture still one placeholder token.

    Attributes:
        token_ids: `[B, L]` int64, padded on the right.
        image_index: `[B]` int64, the placeholder's place.
        answer_rows, answer_cols: `[A]` int64, row and column of every answer token, in the order
            of dialogues, turns and tokens.
        answer_turn: `[A]` int64, number of the turn that the token belongs to, counted over the
            whole batch.
    """

    token_ids: Tensor
    image_index: Tensor
    answer_rows: Tensor
    answer_cols: Tensor
    answer_turn: Tensor

    @property
    def answer_ids(self) -> Tensor:
        """The answer tokens themselves, `[A]`."""
        return self.token_ids[self.answer_rows, self.answer_cols]

    def to(self, device: torch.device) -> "DialogueBatch":
        return DialogueBatch(*(tensor.to(device) for tensor in vars(self).values()))


def collate(dialogues: Sequence[EncodedDialogue]) -> DialogueBatch:
    """Pad dialogues to one batch. The padding is never attended to: it stands on the right."""
    longest = max(len(dialogue.token_ids) for dialogue in dialogues)
    token_ids = torch.zeros(len(dialogues), longest, dtype=torch.int64)
    answers: list[tuple[int, int, int]] = []
    turn = 0
    for row, dialogue in enumerate(dialogues):
        token_ids[row, : len(dialogue.token_ids)] = torch.tensor(dialogue.token_ids)
        for indices in dialogue.answer_indices:
            answers.extend((row, index, turn) for index in indices)
            turn += 1
    answer_rows, answer_cols, answer_turn = torch.tensor(answers).unbind(1)
    image_index = torch.tensor([dialogue.image_index for dialogue in dialogues])
    return DialogueBatch(token_ids, image_index, answer_rows, answer_cols, answer_turn)


def splice(
    text: Tensor,
    visual: Tensor | Sequence[Tensor],
    image_index: Tensor,
    placement: Placement | Sequence[Placement],
) -> tuple[Tensor, Tensor]:
    """Replace each placeholder by its picture's visual tokens.

    Args:
        text: `[B, L, D]` embeddings of the text, placeholder included.
        visual: `[B, M, D]`, or one `[M, D]` for each dialogue.
        image_index: `[B]`, where the placeholders stand.
        placement: where the M tokens stand, or one for each dialogue.

    Returns:
        Embeddings `[B, L - 1 + M, D]` and positions `[B, L - 1 + M]` int64, M the largest; rows
        with fewer end in padding.
    """
    placements = [placement] * len(text) if isinstance(placement, Placement) else placement
    if all(other is placements[0] or other == placements[0] for other in placements):
        together = visual if isinstance(visual, Tensor) else torch.stack(list(visual))
        return _splice_equal(text, together, image_index, placements[0])
    rows = [
        _splice_equal(text[row : row + 1], tokens.unsqueeze(0), image_index[row : row + 1], at)
        for row, (tokens, at) in enumerate(zip(visual, placements, strict=True))
    ]
    embeddings = pad_sequence([row.squeeze(0) for row, _ in rows], batch_first=True)
    positions = pad_sequence([row.squeeze(0) for _, row in rows], batch_first=True)
    return embeddings, positions


def _splice_equal(
    text: Tensor, visual: Tensor, image_index: Tensor, placement: Placement
) -> tuple[Tensor, Tensor]:
    """`splice` for dialogues with equally many visual tokens, without a loop."""
    length, num_visual = text.shape[1], visual.shape[1]
    place = torch.arange(length - 1 + num_visual, device=text.device).unsqueeze(0)
    image = image_index.unsqueeze(1)
    in_picture = (place >= image) & (place < image + num_visual)
    behind = place >= image + num_visual

    source = torch.where(in_picture, length + place - image, place - behind * (num_visual - 1))
    joined = torch.cat([text, visual.to(text.dtype)], dim=1)
    embeddings = joined.gather(1, source.unsqueeze(-1).expand(-1, -1, text.shape[2]))

    offsets = torch.as_tensor(placement.offsets, device=text.device)
    index = (place - image).clamp(0, num_visual - 1)
    within = offsets.expand(text.shape[0], -1).gather(1, index)
    positions = place + behind * (placement.span - num_visual)
    return embeddings, torch.where(in_picture, image + within, positions)
