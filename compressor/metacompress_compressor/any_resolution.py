"""LLaVA-NeXT's arrangement of a picture: a small overview, then tiles of the best resolution.

The picture is fitted into the best of a few resolutions, padded, and cut into tiles as large as the
vision tower's input. The tokens of all tiles form one grid; those that saw only padding are cut off
again, and every remaining row ends with a newline token. Before it stands the overview: the whole
picture as one tile.
"""

from collections.abc import Sequence

from .layout import Part, PictureLayout
from .windows import Grid


def any_resolution_layout(
    width: int,
    height: int,
    *,
    pinpoints: Sequence[tuple[int, int]],
    image_size: int,
    patch_size: int,
) -> PictureLayout:
    """The layout of a picture of `width` x `height` pixels.

    Args:
        width, height: of the picture as it was opened, in pixels.
        pinpoints: resolutions to choose from, `(height, width)` in pixels, in the model's order.
        image_size, patch_size: sides of a tile and of a token's patch, in pixels.
    """
    side = image_size // patch_size
    best_height, best_width = best_resolution(width, height, pinpoints)
    tiles = Grid(best_height // image_size * side, best_width // image_size * side)
    overview = Part(Grid(side, side))
    return PictureLayout((overview, Part(_without_padding(width, height, tiles), newline=True)))


def best_resolution(
    width: int, height: int, pinpoints: Sequence[tuple[int, int]]
) -> tuple[int, int]:
    """The resolution that shows most of the picture's pixels; among equals the least waste."""

    def usefulness(resolution: tuple[int, int]) -> tuple[int, int]:
        box_height, box_width = resolution
        scale = min(box_width / width, box_height / height)
        shown = int(width * scale) * int(height * scale)
        useful = min(shown, width * height)
        return useful, useful - box_width * box_height

    return max(pinpoints, key=usefulness)


def _without_padding(width: int, height: int, tiles: Grid) -> Grid:
    """Rows or columns of tokens that hold padding on both sides of the picture are cut off."""
    if width / height > tiles.cols / tiles.rows:
        shown = int(round(height * (tiles.cols / width), 7))
        return Grid(tiles.rows - (tiles.rows - shown) // 2 * 2, tiles.cols)
    shown = int(round(width * (tiles.rows / height), 7))
    return Grid(tiles.rows, tiles.cols - (tiles.cols - shown) // 2 * 2)
