"""The picture of every object: one vendored sheet of tiles, cut and scaled on demand."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .catalogue import OBJECTS
from .emoji_font import emoji_tile

TILE_SIZE: Final = 96
COLUMNS: Final = 10
_ORDER: Final = {name: index for index, name in enumerate(OBJECTS)}


def tile_box(name: str) -> tuple[int, int, int, int]:
    """Pixel box (left, top, right, bottom) of an object's tile in the sheet."""
    row, column = divmod(_ORDER[name], COLUMNS)
    left, top = column * TILE_SIZE, row * TILE_SIZE
    return left, top, left + TILE_SIZE, top + TILE_SIZE


@cache
def _sheet() -> Image.Image:
    with (files(__package__) / "atlas.webp").open("rb") as stream:
        return Image.open(stream).convert("RGBA")


@lru_cache(maxsize=8192)
def sprite(name: str, size: int, mirrored: bool, font: Path | None = None) -> NDArray[np.float32]:
    """One object's picture.

    Args:
        name: A name of the catalogue.
        size: Side in pixels.
        mirrored: Whether left and right are swapped.
        font: Draw it as this font of colour bitmaps does; None for the vendored sheet.

    Returns:
        Premultiplied RGBA `[size, size, 4]`, float32: colours in [0, 255], alpha in [0, 1].
        The array is shared between calls: do not write to it.
    """
    tile = _sheet().crop(tile_box(name)) if font is None else emoji_tile(font, name)
    tile = tile.resize((size, size), Image.Resampling.LANCZOS)
    pixels = np.asarray(tile, dtype=np.float32).copy()
    pixels[..., 3] /= 255.0
    pixels[..., :3] *= pixels[..., 3:]
    return np.ascontiguousarray(pixels[:, ::-1]) if mirrored else pixels
