"""What the kept tokens of one picture look at, as it travels between HTTP process and workers."""

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from metacompress_compressor.windows import Grid

from .compressors import PictureBudget
from .processor import DIGEST, RATIO

_PIXELS = "pixel_values"


@dataclass(frozen=True)
class Look:
    """What the kept tokens of one picture look at.

    weights: P `[M, N]`, rows sum to one.
    grid: of the N tokens.
    kept_grid: of the M.
    """

    weights: Tensor
    grid: Grid
    kept_grid: Grid

    def as_bytes(self) -> bytes:
        """For the way to the HTTP process, weights in half precision."""
        grids = (self.grid, self.kept_grid)
        sides = torch.tensor([(grid.rows, grid.cols) for grid in grids])
        return save({"weights": self.weights.to("cpu", torch.float16), "grids": sides})

    @classmethod
    def from_bytes(cls, content: bytes) -> "Look":
        """Back."""
        tensors = load(content)
        grid, kept_grid = (Grid(rows, cols) for rows, cols in tensors["grids"].tolist())
        return cls(tensors["weights"], grid, kept_grid)

    def as_field(self) -> dict[str, Any]:
        """As JSON; the weights are base64 of half-precision numbers, little-endian, row by row."""
        return {
            "object": "playground.look",
            "image_tokens_original": self.grid.num_tokens,
            "image_tokens": self.kept_grid.num_tokens,
            "grid": asdict(self.grid),
            "kept_grid": asdict(self.kept_grid),
            "weights": base64.b64encode(self.weights.numpy().astype("<f2").tobytes()).decode(),
        }


def picture_bytes(item: Mapping[str, Any]) -> bytes:
    """One picture's processed inputs, for the way to the workers."""
    return save({name: item[name].data.contiguous() for name in (_PIXELS, DIGEST, RATIO)})


def picture_from_bytes(content: bytes) -> tuple[Tensor, PictureBudget]:
    """Pixels `[3, H, W]` and the budget that they were laid out for."""
    tensors = load(content)
    return tensors[_PIXELS], PictureBudget.read(tensors[DIGEST], tensors[RATIO])
