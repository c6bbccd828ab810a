"""Symbolic pictures: patch embeddings made from labels, to learn language without pixels.

The language model first learns to answer from these; the projector then learns to produce them
from pixels. An object's embedding is that of its word, so the patch that shows a fox and the word
"fox" are alike from the start.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from metacompress_compressor.scenes import OBJECTS

from .labels import LABELS


class SymbolTable(nn.Module):
    """Embeds patch labels: the object's word embedding plus a learned vector per other label."""

    word_ids: Tensor

    def __init__(self, tokenizer: PreTrainedTokenizerFast, hidden_size: int) -> None:
        super().__init__()
        words = [tokenizer.encode(f" {name}", add_special_tokens=False)[0] for name in OBJECTS]
        self.register_buffer("word_ids", torch.tensor([0, *words]))
        self.tables = nn.ModuleDict(
            {
                name: nn.Embedding(count, hidden_size)
                for name, count in LABELS.items()
                if name != "object"
            }
        )
        for table in self.tables.values():
            nn.init.normal_(table.weight, std=0.04)  # type: ignore[arg-type]

    def forward(self, labels: Tensor, word_embeddings: Tensor) -> Tensor:
        """Embeds labels.

        Args:
            labels: `[B, V, len(LABELS)]`, int64.
            word_embeddings: The language model's embedding matrix `[vocabulary, d]`.

        Returns:
            `[B, V, d]`.
        """
        objects = labels[..., 0]
        embedded = word_embeddings[self.word_ids[objects]] * (objects > 0)[..., None]
        for column, name in enumerate(LABELS):
            if name != "object":
                embedded = embedded + self.tables[name](labels[..., column])
        return embedded


def choose_patches(labels: NDArray[np.int64], count: int, rng: random.Random) -> list[int]:
    """Chooses patches that still tell everything: middles, then objects before background.

    Args:
        labels: Labels of one picture `[NUM_VISUAL_TOKENS, len(LABELS)]`.
        count: How many patches to keep.
        rng: Source of chance; how strongly objects are preferred varies from call to call.

    Returns:
        Indices in increasing order.
    """
    generator = np.random.default_rng(rng.getrandbits(32))
    priority = generator.random(len(labels))
    priority -= rng.uniform(0.0, 1.0) * (labels[:, 0] > 0)
    priority -= 10.0 * (labels[:, 3] > 0)
    return sorted(int(index) for index in np.argsort(priority)[:count])


def stack_labels(labels: Sequence[NDArray[np.int64]], patches: Sequence[Sequence[int]]) -> Tensor:
    """Labels of the chosen patches of each picture, `[B, V, len(LABELS)]`."""
    return torch.from_numpy(
        np.stack([rows[list(kept)] for rows, kept in zip(labels, patches, strict=True)])
    )
