"""Dialogues as token sequences: pictures' places, answers to learn, rotary positions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from metacompress_compressor.scenes import Turn

from .architecture import NUM_VISUAL_TOKENS
from .tokenizer import ASSISTANT, IMAGE, SYSTEM, SYSTEM_PROMPTS, USER

IGNORED: Final = -100


@dataclass(frozen=True)
class Batch:
    """Padded sequences; T is the longest, V the number of visual tokens of each.

    Attributes:
        ids: `[B, T]`, int64; the picture's V places hold the image token.
        labels: `[B, T]`, int64; the id to predict at each place, or `IGNORED`.
        positions: `[B, T]`, int64; rotary positions.
        visual_start: `[B]`, int64; place of the first visual token.
    """

    ids: Tensor
    labels: Tensor
    positions: Tensor
    visual_start: Tensor


def _pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    """Rows of different lengths as one tensor, filled up on the right."""
    length = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])


class SequenceBuilder:
    """Renders dialogues exactly as the chat template does, with caching of encoded sentences."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._encode = lru_cache(maxsize=65536)(self._encode_uncached)
        special = tokenizer.convert_tokens_to_ids
        self._user, self._assistant, self._system, self._image = (
            special(token) for token in (USER, ASSISTANT, SYSTEM, IMAGE)
        )

    def _encode_uncached(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))

    def prefix(self, system_prompt: str | None) -> list[int]:
        """Ids in front of the first picture."""
        system = [self._system, *self._encode(system_prompt)] if system_prompt else []
        return [*system, self._user]

    def text(self, turns: Sequence[Turn]) -> tuple[list[int], list[int]]:
        """Ids and labels of everything behind the picture: questions and answers in turn."""
        ids: list[int] = []
        labels: list[int] = []
        for index, turn in enumerate(turns):
            question = [
                *([self._user] if index else []),
                *self._encode(turn.question),
                self._assistant,
            ]
            answer = [*self._encode(turn.answer), self._tokenizer.eos_token_id]
            ids += question + answer
            labels += [IGNORED] * len(question) + answer
        return ids, labels

    def batch(
        self,
        dialogues: Sequence[Sequence[Turn]],
        patches: Sequence[Sequence[int]] | None = None,
        rng: random.Random | None = None,
    ) -> Batch:
        """Renders a batch.

        Args:
            dialogues: Turns of each dialogue.
            patches: Which patches stand for each picture, increasing; all of them if None.
            rng: If given, some dialogues get a system prompt and some a gap of positions behind
                the picture, so that long dialogues and other prompts are not new to the model.
        """
        patches = patches or [range(NUM_VISUAL_TOKENS)] * len(dialogues)
        rows = [self._row(turns, kept, rng) for turns, kept in zip(dialogues, patches, strict=True)]
        ids, labels, positions, starts = (list(column) for column in zip(*rows, strict=True))
        # Labels are moved one place to the left: the output at a place predicts the next token.
        labels = [[*row[1:], IGNORED] for row in labels]
        return Batch(
            _pad(ids, self._tokenizer.pad_token_id),
            _pad(labels, IGNORED),
            _pad(positions, 0),
            torch.tensor(starts),
        )

    def _row(
        self, turns: Sequence[Turn], patches: Sequence[int], rng: random.Random | None
    ) -> tuple[list[int], list[int], list[int], int]:
        varied = rng is not None and rng.random() < 0.25
        prompt = rng.choice(SYSTEM_PROMPTS) if rng and rng.random() < 0.15 else None
        gap = rng.randrange(1024) if rng and varied else 0
        prefix = self.prefix(prompt)
        text, labels = self.text(turns)
        start = len(prefix)
        behind = start + NUM_VISUAL_TOKENS + gap
        return (
            prefix + [self._image] * len(patches) + text,
            [IGNORED] * (start + len(patches)) + labels,
            [
                *range(start),
                *(start + patch for patch in patches),
                *range(behind, behind + len(text)),
            ],
            start,
        )
