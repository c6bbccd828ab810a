"""Pooling windows: how many outputs a picture gets and which tokens each one stands for.

Whole numbers only: the server lays out placeholders with these functions before any tensor exists,
so the number of outputs depends on the picture's grid and the budget alone.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Literal

WindowKind = Literal["1d", "2d"]
"""`1d`: windows are runs of the row-major sequence. `2d`: windows are rectangles of the grid."""


@dataclass(frozen=True)
class Grid:
    """Tokens of a picture in row-major order."""

    rows: int
    cols: int

    def __post_init__(self) -> None:
        if self.rows < 1 or self.cols < 1:
            raise ValueError(f"a grid needs at least one row and column, not {self}")

    @property
    def num_tokens(self) -> int:
        return self.rows * self.cols


def compressed_grid(grid: Grid, retention_ratio: float, windows: WindowKind) -> Grid:
    """The grid of outputs for a picture and a budget.

    1-D: one row of `max(1, round(retention_ratio * n))` outputs. 2-D: each side shrinks by the
    square root of the ratio, rounded either way, to the largest product within that same budget;
    among equals the one whose aspect is nearest the picture's, then the one with fewer rows. Where
    a side would fall below one token, the outputs form a single row or column.

    Args:
        grid: the picture's tokens, n = rows x cols.
        retention_ratio: the kept share m / n, in (0, 1].
        windows: kind of window.

    Raises:
        ValueError: `retention_ratio` outside (0, 1].
    """
    if not 0.0 < retention_ratio <= 1.0:
        raise ValueError(f"retention_ratio must be in (0, 1], not {retention_ratio}")
    if retention_ratio == 1.0:
        return grid
    budget = max(1, round(retention_ratio * grid.num_tokens))
    if windows == "1d":
        return Grid(1, budget)
    shrink = math.sqrt(retention_ratio)
    candidates = [
        Grid(rows, cols)
        for rows, cols in itertools.product(
            _both_roundings(grid.rows * shrink), _both_roundings(grid.cols * shrink)
        )
    ]
    fitting = [candidate for candidate in candidates if candidate.num_tokens <= budget]
    if not fitting:  # a side is down to one token, so the other has to shrink by the whole ratio
        return Grid(1, budget) if grid.rows <= grid.cols else Grid(budget, 1)
    best = fitting[0]
    for candidate in fitting[1:]:  # a loop, because torch.compile cannot trace max with a key
        if _rank(candidate, grid) > _rank(best, grid):
            best = candidate
    return best


def num_compressed_tokens(grid: Grid, retention_ratio: float, windows: WindowKind) -> int:
    """m: how many outputs a picture gets. Raises ValueError as `compressed_grid`."""
    return compressed_grid(grid, retention_ratio, windows).num_tokens


def window_ranges(
    grid: Grid, compressed: Grid, windows: WindowKind
) -> list[tuple[int, int, int, int]]:
    """Each output's window as `(row_start, row_stop, col_start, col_stop)`, in output order.

    Along a side of n tokens and m outputs, window i is `floor(i n / m)` to `ceil((i + 1) n / m)`:
    fractional average pooling for any n and m. The windows cover every token. 1-D ranges are
    columns of the picture seen as one row of n tokens (`pooling_grid`).
    """
    source = pooling_grid(grid, compressed, windows)
    return [
        (*row_range, *col_range)
        for row_range in _side_ranges(source.rows, compressed.rows)
        for col_range in _side_ranges(source.cols, compressed.cols)
    ]


def window_positions(grid: Grid, compressed: Grid, windows: WindowKind) -> list[int]:
    """The token at each window's centre, in the picture's row-major numbering 0..n-1.

    Strictly increasing; with as many outputs as tokens it is 0..n-1.
    """
    source = pooling_grid(grid, compressed, windows)
    return [
        row * source.cols + col
        for row in _side_centres(source.rows, compressed.rows)
        for col in _side_centres(source.cols, compressed.cols)
    ]


def pooling_grid(grid: Grid, compressed: Grid, windows: WindowKind) -> Grid:
    """The grid that windows are cut from: the picture's, or one long row for 1-D windows.

    Raises:
        ValueError: more outputs than tokens along a side.
    """
    bypass = compressed == grid
    source = grid if windows == "2d" or bypass else Grid(1, grid.num_tokens)
    if compressed.rows > source.rows or compressed.cols > source.cols:
        raise ValueError(f"{compressed} has more outputs than {source} has tokens along a side")
    return source


def _both_roundings(side: float) -> list[int]:
    side = round(side, 9)  # 30 * sqrt(0.01) is 3.0000000000000004, and its ceiling must be 3
    return sorted({max(1, math.floor(side)), max(1, math.ceil(side))})


def _rank(candidate: Grid, grid: Grid) -> tuple[int, float]:
    """Higher for more outputs, then for an aspect nearer the picture's.

    Rounded, so that 7 x 8 and 8 x 7 are equally far from a square.
    """
    distance = abs(math.log(candidate.rows * grid.cols / (candidate.cols * grid.rows)))
    return candidate.num_tokens, -round(distance, 9)


def _side_ranges(tokens: int, outputs: int) -> list[tuple[int, int]]:
    return [(i * tokens // outputs, -(-(i + 1) * tokens // outputs)) for i in range(outputs)]


def _side_centres(tokens: int, outputs: int) -> list[int]:
    return [(2 * i + 1) * tokens // (2 * outputs) for i in range(outputs)]
