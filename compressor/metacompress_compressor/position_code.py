"""Absolute position codes without parameters, added to the tokens that form queries and keys."""

import functools
from typing import Literal

import torch
from torch import Tensor

from .windows import Grid

PositionCode = Literal["none", "sinusoidal_1d", "sinusoidal_2d"]

_LONGEST_WAVELENGTH = 10_000.0


def position_code(grid: Grid, hidden_size: int, code: PositionCode) -> Tensor:
    """The code of every token of a picture.

    1-D: sines and cosines of the token's number in row-major order. 2-D: the first half of the
    channels codes the row, the second half the column.

    Args:
        grid: the picture's tokens.
        hidden_size: D, channels of a token.
        code: which code; `none` gives zeros.

    Returns:
        `[N, D]` float32 on the CPU, entries in [-1, 1].

    Raises:
        ValueError: `hidden_size` that cannot be cut into sine and cosine pairs.
    """
    if code == "none":
        return torch.zeros(grid.num_tokens, hidden_size)
    if code == "sinusoidal_1d":
        return _sinusoids(torch.arange(grid.num_tokens), hidden_size)
    if hidden_size % 4:
        raise ValueError(f"a 2-D position code needs hidden_size in fours, not {hidden_size}")
    rows = _sinusoids(torch.arange(grid.rows), hidden_size // 2)
    cols = _sinusoids(torch.arange(grid.cols), hidden_size // 2)
    return torch.cat([rows.repeat_interleave(grid.cols, 0), cols.repeat(grid.rows, 1)], dim=1)


def projected_position_code(grid: Grid, weight: Tensor, code: PositionCode) -> Tensor:
    """`position_code(grid, D, code) @ weight` without writing the code of every token.

    In 2-D the code of a token is that of its row beside that of its column, so rows and columns are
    projected by themselves: 48 products instead of 576 for a 24 x 24 picture.

    Args:
        grid: the picture's tokens.
        weight: `[D, C]`.
        code: which code.

    Returns:
        `[N, C]` in the dtype of `weight`, on its device. Differentiable.

    Raises:
        ValueError: as `position_code`.
    """
    hidden_size, width = weight.shape
    if code == "none":
        return weight.new_zeros(grid.num_tokens, width)
    if code == "sinusoidal_1d":
        return _sinusoids_like(grid.num_tokens, hidden_size, weight) @ weight
    if hidden_size % 4:
        raise ValueError(f"a 2-D position code needs hidden_size in fours, not {hidden_size}")
    half = hidden_size // 2
    rows = _sinusoids_like(grid.rows, half, weight) @ weight[:half]
    cols = _sinusoids_like(grid.cols, half, weight) @ weight[half:]
    return (rows.unsqueeze(1) + cols.unsqueeze(0)).reshape(grid.num_tokens, width)


def _sinusoids_like(count: int, channels: int, like: Tensor) -> Tensor:
    if torch.compiler.is_compiling():  # the compiler cannot trace the cache
        return _sinusoids(torch.arange(count), channels).to(like)
    return _cached_sinusoids(count, channels, like.device, like.dtype)


@functools.lru_cache(maxsize=64)
def _cached_sinusoids(
    count: int, channels: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    with torch.inference_mode(mode=False):  # a server's cache must not break a later backward
        return _sinusoids(torch.arange(count), channels).to(device, dtype)


def _sinusoids(places: Tensor, channels: int) -> Tensor:
    if channels % 2:
        raise ValueError(f"a position code needs an even number of channels, not {channels}")
    exponents = torch.arange(channels // 2, dtype=torch.float64) / (channels // 2)
    angles = places.double().unsqueeze(1) * _LONGEST_WAVELENGTH**-exponents
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()
