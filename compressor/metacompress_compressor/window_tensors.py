"""Pooling windows on a device, as the kernels take them: of one budget, or of each picture's."""

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .windows import Grid, WindowKind, pooling_grid, window_ranges


@dataclass(frozen=True)
class PackedWindows:
    """Windows of several pictures of one grid, packed one after another.

    Attributes:
        cu_tokens, cu_outputs: `[B + 1]` int32, each picture's first token and output.
        max_outputs: of the largest picture.
        ranges: `[sum of outputs, 4]` int32.
        grid_cols: `[B]` int32, tokens in a row that a picture's ranges count in.
    """

    cu_tokens: Tensor
    cu_outputs: Tensor
    max_outputs: int
    ranges: Tensor
    grid_cols: Tensor


def window_tensor(
    grid: Grid, compressed: Grid, windows: WindowKind, device: torch.device
) -> Tensor:
    """`window_ranges` as `[M, 4]` int32, kept for the next picture of the same kind."""
    if torch.compiler.is_compiling():  # the compiler cannot trace the cache
        return _int32(window_ranges(grid, compressed, windows), device)
    return _kept_window_tensor(grid, compressed, windows, device)


@functools.lru_cache(maxsize=64)
def _kept_window_tensor(
    grid: Grid, compressed: Grid, windows: WindowKind, device: torch.device
) -> Tensor:
    with torch.inference_mode(mode=False):  # a server's cache must not break a later backward
        return _int32(window_ranges(grid, compressed, windows), device)


@functools.lru_cache(maxsize=256)
def packed_windows(
    grid: Grid, compressed: tuple[Grid | None, ...], windows: WindowKind, device: torch.device
) -> PackedWindows:
    """Windows of a batch, kept for the next one with the same budgets in the same order.

    Args:
        grid: of every picture.
        compressed: each picture's outputs; None for a picture that gets none.
        windows: kind of window.
        device: where the tensors go.
    """
    outputs = [0 if small is None else small.num_tokens for small in compressed]
    edges = range(0, (len(compressed) + 1) * grid.num_tokens, grid.num_tokens)
    some = [small for small in compressed if small is not None]
    ranges = [window for small in some for window in window_ranges(grid, small, windows)]
    cols = [pooling_grid(grid, small or grid, windows).cols for small in compressed]
    with torch.inference_mode(mode=False):
        return PackedWindows(
            _int32(edges, device),
            _int32([0, *itertools.accumulate(outputs)], device),
            max(outputs),
            _int32(ranges, device),
            _int32(cols, device),
        )


def budget_features(
    grid: Grid, compressed: tuple[Grid | None, ...], device: torch.device
) -> Tensor:
    """`(b, b^2)` with `b = ln(10 m / n)`, 0 at a tenth, of each budget: `[B, 2]` float32.

    Zero where a picture gets no outputs.
    """
    budgets = [
        math.log(10 * small.num_tokens / grid.num_tokens) if small else 0.0 for small in compressed
    ]
    return torch.tensor([[b, b * b] for b in budgets], dtype=torch.float32, device=device)


def _int32(numbers: Sequence[object], device: torch.device) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int32, device=device)
