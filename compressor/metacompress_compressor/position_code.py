"""Absolute position codes without parameters, added to the tokens that form queries and keys."""

import functools
from typing import Literal

import torch
from torch import Tensor

from .windows import Grid

PositionCode = Literal["none", "sinusoidal_1d", "sinusoidal_2d"]

_LONGEST_WAVELENGTH = 10_000.0


@functools.lru_cache(maxsize=64)
def position_code(grid: Grid, hidden_size: int, code: PositionCode) -> Tensor:
    """The code of every token of a picture. Treat the result as read-only: it is cached.

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


def _sinusoids(places: Tensor, channels: int) -> Tensor:
    if channels % 2:
        raise ValueError(f"a position code needs an even number of channels, not {channels}")
    exponents = torch.arange(channels // 2, dtype=torch.float64) / (channels // 2)
    angles = places.double().unsqueeze(1) * _LONGEST_WAVELENGTH**-exponents
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()
