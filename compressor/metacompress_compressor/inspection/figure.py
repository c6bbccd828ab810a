"""Draws a picture, lights over all of it to be compared, and one tile for each kept token."""

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw
from torch import Tensor

from metacompress_compressor.windows import Grid

from .compare import Overview
from .measure import WeightFigures

_OVERVIEW = 384
_TILE = 112
_CAPTION = 16
_MARGIN = 8
_INK = (30, 30, 30)
_HEAT = (255, 90, 0)


def draw_figure(
    picture: Image.Image,
    weights: Tensor,
    grid: Grid,
    columns: int,
    figures: WeightFigures,
    overviews: Sequence[Overview],
) -> Image.Image:
    """Put everything on one sheet.

    Args:
        picture: as the model sees it, square or not.
        weights: P `[M, N]`.
        grid: of the N tokens.
        columns: tiles in a row.
        figures: of `weights`.
        overviews: lights over the whole picture, to be compared.

    Returns:
        Above: the picture, and beside it the picture in each overview's light. Below: the same for
        every row of P, with its number and entropy. Each light is relative to its own maximum.
    """
    columns = min(columns, 16)
    rows = math.ceil(weights.shape[0] / columns)
    overview_height = _scaled_height(picture, _OVERVIEW)
    tile_height = _scaled_height(picture, _TILE)
    above = (1 + len(overviews)) * (_OVERVIEW + _MARGIN)
    width = max(above, columns * (_TILE + _MARGIN)) + _MARGIN
    tiles_top = overview_height + _CAPTION + 3 * _MARGIN
    height = tiles_top + rows * (tile_height + _CAPTION + _MARGIN)
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)

    large = picture.resize((_OVERVIEW, overview_height))
    _paste(sheet, draw, large, (_MARGIN, _MARGIN), f"{grid.num_tokens} visual tokens")
    for number, overview in enumerate(overviews, start=1):
        place = (_MARGIN + number * (_OVERVIEW + _MARGIN), _MARGIN)
        _paste(sheet, draw, _lit(large, overview.light, grid), place, overview.caption)

    small = picture.resize((_TILE, tile_height))
    for index, row in enumerate(weights):
        left = _MARGIN + index % columns * (_TILE + _MARGIN)
        top = tiles_top + index // columns * (tile_height + _CAPTION + _MARGIN)
        caption = f"{index}: H {figures.entropy[index]:.2f}"
        _paste(sheet, draw, _lit(small, row, grid), (left, top), caption)
    return sheet


def _scaled_height(picture: Image.Image, width: int) -> int:
    return max(1, round(picture.height * width / picture.width))


def _paste(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    tile: Image.Image,
    place: tuple[int, int],
    caption: str,
) -> None:
    sheet.paste(tile, place)
    draw.text((place[0], place[1] + tile.height + 2), caption, fill=_INK)


def _lit(picture: Image.Image, weight: Tensor, grid: Grid) -> Image.Image:
    """The picture, dim and grey, with warm light where `weight` `[N]` lies."""
    light = (weight / weight.max() * 255).round().byte().reshape(grid.rows, grid.cols)
    mask = Image.fromarray(light.cpu().numpy()).resize(picture.size, Image.Resampling.BICUBIC)
    dim = Image.blend(picture.convert("L").convert("RGB"), Image.new("RGB", picture.size), 0.45)
    warm = Image.blend(picture, Image.new("RGB", picture.size, _HEAT), 0.5)
    return Image.composite(warm, dim, mask)
