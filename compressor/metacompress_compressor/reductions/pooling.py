"""Methods that average neighbouring tokens, the same windows in every picture."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d, adaptive_avg_pool2d

from metacompress_compressor.picture_mapping import map_parts
from metacompress_compressor.windows import Grid, WindowKind, window_positions

from .base import Budget, PictureBatch, Reduced, same_places


@dataclass(frozen=True)
class AvgPool1d:
    """Average of each of m equal runs of the sequence, placed at its centre."""

    name: ClassVar[str] = "avgpool_1d"
    windows: ClassVar[WindowKind | None] = None

    def __call__(self, pictures: PictureBatch, budget: Budget) -> Reduced:
        n, m = pictures.tokens.shape[1], budget.num_tokens
        pooled = adaptive_avg_pool1d(pictures.tokens.transpose(1, 2), m).transpose(1, 2)
        return same_places(window_positions(Grid(1, n), Grid(1, m), "1d"), pooled)


@dataclass(frozen=True)
class AvgPool2d:
    """Average of each two-dimensional window, placed at its centre."""

    name: ClassVar[str] = "avgpool_2d"
    windows: ClassVar[WindowKind | None] = "2d"

    def __call__(self, pictures: PictureBatch, budget: Budget) -> Reduced:
        ratio = budget.retention_ratio
        pooled = map_parts(_pool, pictures.tokens, pictures.layout, ratio, budget.windows)
        return same_places(budget.places, pooled)


def _pool(x: Tensor, grid: Grid, compressed: Grid) -> Tensor:
    picture = x.transpose(1, 2).reshape(-1, x.shape[2], grid.rows, grid.cols)
    pooled = adaptive_avg_pool2d(picture, (compressed.rows, compressed.cols))
    return pooled.flatten(2).transpose(1, 2)
