"""Methods that keep some tokens as they are, without looking at them."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from metacompress_compressor.windows import WindowKind

from .base import Budget, PictureBatch, Reduced, keep, same_places


@dataclass(frozen=True)
class Full:
    """All tokens."""

    name: ClassVar[str] = "full"
    windows: ClassVar[WindowKind | None] = None

    def __call__(self, pictures: PictureBatch, budget: Budget) -> Reduced:
        return same_places(range(pictures.tokens.shape[1]), pictures.tokens)


@dataclass(frozen=True)
class Random:
    """m random tokens.

    Args:
        seed: with the picture's tokens, the source of chance: the same picture, the same places.
    """

    seed: int = 0
    name: ClassVar[str] = "random"
    windows: ClassVar[WindowKind | None] = None

    def __call__(self, pictures: PictureBatch, budget: Budget) -> Reduced:
        chosen = [self._places(tokens, budget.num_tokens) for tokens in pictures.tokens]
        return keep(pictures.tokens, torch.stack(chosen))

    def _places(self, tokens: Tensor, m: int) -> Tensor:
        content = tokens.float().cpu().numpy().tobytes()
        digest = hashlib.blake2b(content, digest_size=8, salt=self.seed.to_bytes(8, "little"))
        rng = np.random.default_rng(int.from_bytes(digest.digest(), "little"))
        return torch.from_numpy(rng.permutation(len(tokens))[:m]).to(tokens.device)


@dataclass(frozen=True)
class Sample:
    """Equidistant tokens of the row-major sequence: `round(linspace(0, n - 1, m))`."""

    name: ClassVar[str] = "sample"
    windows: ClassVar[WindowKind | None] = None

    def __call__(self, pictures: PictureBatch, budget: Budget) -> Reduced:
        (batch, n, _), m = pictures.tokens.shape, budget.num_tokens
        places = torch.linspace(0, n - 1, m, dtype=torch.float64).round().long()
        return keep(pictures.tokens, places.to(pictures.tokens.device).expand(batch, -1))


@dataclass(frozen=True)
class Sample2d:
    """The middle token of each two-dimensional window.

    Equidistant places on the grid instead of in the sequence, where a step near a multiple of the
    row's length visits the same few columns.
    """

    name: ClassVar[str] = "sample_2d"
    windows: ClassVar[WindowKind | None] = "2d"

    def __call__(self, pictures: PictureBatch, budget: Budget) -> Reduced:
        places = budget.places
        return same_places(places, pictures.tokens[:, places])
