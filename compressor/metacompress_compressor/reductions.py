"""Ways to bring n visual tokens to m: the mapping and the plain baselines, one small class each."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from .mapping import TokenMapping
from .windows import Grid, WindowKind, compressed_grid, num_compressed_tokens, window_positions


@dataclass(frozen=True)
class Reduced:
    """Visual tokens `[B, M, D]` and the place of each in the picture's numbering 0..n-1."""

    tokens: Tensor
    positions: tuple[int, ...]


class Reduction(Protocol):
    """A rule that depends on the picture alone."""

    name: str

    def __call__(self, x: Tensor, grid: Grid, retention_ratio: float) -> Reduced:
        """Reduce `x` `[B, N, D]` to the budget that `retention_ratio` gives."""


class Full:
    """All tokens."""

    name = "full"

    def __call__(self, x: Tensor, grid: Grid, retention_ratio: float) -> Reduced:
        return Reduced(x, tuple(range(grid.num_tokens)))


class Sample:
    """Equidistant tokens of the row-major sequence: `round(linspace(0, n - 1, m))`.

    Args:
        windows: whose rule gives m, so that all methods of a table keep equally many.
    """

    name = "sample"

    def __init__(self, windows: WindowKind) -> None:
        self._windows: WindowKind = windows

    def __call__(self, x: Tensor, grid: Grid, retention_ratio: float) -> Reduced:
        m = num_compressed_tokens(grid, retention_ratio, self._windows)
        kept = torch.linspace(0, grid.num_tokens - 1, m, dtype=torch.float64).round().long()
        return Reduced(x[:, kept.to(x.device)], tuple(kept.tolist()))


class AveragePooling:
    """Average of each two-dimensional window, placed at its centre."""

    name = "avgpool_2d"

    def __call__(self, x: Tensor, grid: Grid, retention_ratio: float) -> Reduced:
        compressed = compressed_grid(grid, retention_ratio, "2d")
        picture = x.transpose(1, 2).reshape(-1, x.shape[2], grid.rows, grid.cols)
        pooled = adaptive_avg_pool2d(picture, (compressed.rows, compressed.cols))
        positions = window_positions(grid, compressed, "2d")
        return Reduced(pooled.flatten(2).transpose(1, 2), tuple(positions))


class Mapped:
    """The learned mapping."""

    name = "mapping"

    def __init__(self, mapping: TokenMapping) -> None:
        self._mapping = mapping

    def __call__(self, x: Tensor, grid: Grid, retention_ratio: float) -> Reduced:
        compressed = compressed_grid(grid, retention_ratio, self._mapping.windows)
        positions = window_positions(grid, compressed, self._mapping.windows)
        return Reduced(self._mapping(x, grid, retention_ratio), tuple(positions))
