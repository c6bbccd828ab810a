"""Symbolic pictures: patch embeddings made from labels, to learn language without pixels.

The language model first learns to answer from these; the projector then learns to produce them
from pixels. A patch is embedded as the sum of the words that describe it, so the patch that shows
a small fox at the top and the words "small", "fox" and "top" are alike from the start.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from metacompress_compressor.scenes import CELL_NAMES, OBJECTS
from metacompress_compressor.scenes.layout import BACKGROUNDS

from .initial import word_id
from .labels import LABELS

#: Label -> the words of each class; "middle" has no word.
_WORDS: Final = {
    "object": ("", *OBJECTS),
    "cell": ("", *CELL_NAMES),
    "size": ("", "small", "big"),
    "background": tuple(BACKGROUNDS),
}
#: Every patch shows the background: half weight keeps it from hiding what tells patches apart.
_WEIGHT: Final = {"object": 1.0, "cell": 1.0, "size": 1.0, "background": 0.5}
_MIDDLE_STD: Final = 0.5


class SymbolTable(nn.Module):
    """Embeds patch labels: the sum of their words, and a learned vector for an object's middle."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, vocab_size: int, hidden_size: int
    ) -> None:
        super().__init__()
        for name, classes in _WORDS.items():
            bags = torch.zeros(len(classes), vocab_size)
            for row, words in enumerate(classes):
                for word in words.split():
                    bags[row, word_id(tokenizer, f" {word}")] = _WEIGHT[name]
            self.register_buffer(name, bags, persistent=False)
        self.middle = nn.Parameter(_MIDDLE_STD * torch.randn(LABELS["middle"], hidden_size))

    def forward(self, labels: Tensor, word_embeddings: Tensor) -> Tensor:
        """Embeds labels.

        Args:
            labels: `[B, V, len(LABELS)]`, int64.
            word_embeddings: The language model's embedding matrix `[vocabulary, d]`.

        Returns:
            `[B, V, d]`.
        """
        columns = dict(zip(LABELS, labels.unbind(-1), strict=True))
        embedded = self.middle[columns["middle"]]
        for name in _WORDS:
            table = self.get_buffer(name) @ word_embeddings
            embedded = embedded + table[columns[name]]
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
