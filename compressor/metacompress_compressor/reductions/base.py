"""What a reduction gets and gives: pictures as n visual tokens and a budget; m tokens, placed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from metacompress_compressor.adapters import Adapter, VisionContext
from metacompress_compressor.layout import PictureLayout, compressed_layout, layout_positions
from metacompress_compressor.windows import Grid, WindowKind


@dataclass(frozen=True)
class Budget:
    """How many tokens a picture may keep.

    Attributes:
        layout: of the picture's n tokens.
        retention_ratio: the kept share that was asked for, in (0, 1].
        windows: whose rule makes m of it.
    """

    layout: PictureLayout
    retention_ratio: float
    windows: WindowKind

    @property
    def num_tokens(self) -> int:
        """m."""
        return self.compressed.num_tokens

    @property
    def compressed(self) -> PictureLayout:
        """What the budget leaves."""
        return compressed_layout(self.layout, self.retention_ratio, self.windows)

    @property
    def places(self) -> list[int]:
        """The middle of each window, in the picture's numbering."""
        return layout_positions(self.layout, self.compressed, self.windows)


class PictureBatch:
    """Pictures of one layout, and on demand what else the vision tower knows of them.

    Args:
        tokens: `[B, N, D]`, as the projector gives them.
        layout: of the N tokens.
        adapter, load: the model and the pictures themselves, for methods that need them.
    """

    def __init__(
        self,
        tokens: Tensor,
        layout: PictureLayout,
        adapter: Adapter | None = None,
        load: Callable[[], Sequence[Image.Image]] | None = None,
    ) -> None:
        self.tokens = tokens
        self.layout = layout
        self._adapter = adapter
        self._load = load

    @cached_property
    def context(self) -> VisionContext:
        """The tower's last layers; run once. Raises AdapterError as `Adapter.vision_context`."""
        return self._model.vision_context(self._pictures)

    def at(self, grid: Grid) -> Tensor:
        """Visual tokens of the pictures scaled to `grid`, `[B, N', D]`.

        Raises AdapterError as `Adapter.visual_tokens_at`.
        """
        return self._model.visual_tokens_at(self._pictures, grid).to(self.tokens.dtype)

    @property
    def _model(self) -> Adapter:
        if self._adapter is None:
            raise ValueError("these pictures came without their model")
        return self._adapter

    @cached_property
    def _pictures(self) -> Sequence[Image.Image]:
        if self._load is None:
            raise ValueError("these visual tokens came without their pictures")
        return self._load()


@dataclass(frozen=True)
class Reduced:
    """Visual tokens and where they stand.

    Attributes:
        tokens: `[B, M, D]`.
        positions: `[B, M]` int64, of each token in the picture's numbering 0..n-1; not decreasing.
    """

    tokens: Tensor
    positions: Tensor


class Reduction(Protocol):
    """A rule that depends on the picture alone. Its other attributes are its settings."""

    @property
    def name(self) -> str:
        """Names it in tables, files and options."""

    @property
    def windows(self) -> WindowKind | None:
        """The one rule that makes its m of a budget; None if it takes any m."""

    def __call__(self, pictures: PictureBatch, budget: Budget) -> Reduced:
        """Reduce every picture to the budget."""


def take(values: Tensor, indices: Tensor) -> Tensor:
    """Rows of `values` `[B, N, ...]` at `indices` `[B, K]`: `[B, K, ...]`."""
    index = indices.reshape(*indices.shape, *[1] * (values.ndim - 2))
    return values.gather(1, index.expand(-1, -1, *values.shape[2:]))


def keep(tokens: Tensor, indices: Tensor) -> Reduced:
    """The tokens at `indices` `[B, M]`, in the picture's order."""
    positions = indices.sort(dim=1).values
    return Reduced(take(tokens, positions), positions)


def in_order(tokens: Tensor, positions: Tensor) -> Reduced:
    """Tokens sorted by their places; equal places keep their order."""
    positions, order = positions.sort(dim=1, stable=True)
    return Reduced(take(tokens, order), positions)


def same_places(positions: Sequence[int], tokens: Tensor) -> Reduced:
    """Tokens whose places are the same in every picture."""
    places = torch.tensor(positions, device=tokens.device)
    return Reduced(tokens, places.expand(tokens.shape[0], -1))


def others(chosen: Tensor, num_tokens: int) -> Tensor:
    """What `chosen` `[B, K]` leaves of `num_tokens` tokens, in order: `[B, num_tokens - K]`."""
    left = torch.ones(chosen.shape[0], num_tokens, dtype=torch.bool, device=chosen.device)
    left.scatter_(1, chosen, value=False)
    places = torch.arange(num_tokens, device=chosen.device).expand_as(left)
    return places[left].reshape(chosen.shape[0], num_tokens - chosen.shape[1])


def strided(num_tokens: int, count: int) -> list[int]:
    """`count` of `num_tokens` places, as evenly as possible, each run's middle."""
    return [(2 * i + 1) * num_tokens // (2 * count) for i in range(count)]
