"""Draws a picture, the coverage of its tokens, and one tile for each kept token."""

import math

from PIL import Image, ImageDraw
from torch import Tensor

from metacompress_compressor.windows import Grid

from .measure import WeightFigures

_OVERVIEW = 384
_TILE = 112
_CAPTION = 16
_MARGIN = 8
_INK = (30, 30, 30)
_HEAT = (255, 90, 0)


def draw_figure(
    picture: Image.Image, weights: Tensor, grid: Grid, columns: int, figures: WeightFigures
) -> Image.Image:
    """Put everything on one sheet.

    Args:
        picture: as the model sees it, square or not.
        weights: P `[M, N]`.
        grid: of the N tokens.
        columns: tiles in a row.
        figures: of `weights`.

    Returns:
        Above: the picture, and the picture lit by how much each token contributes. Below: the same
        for every row of P, with its number and entropy; a tile's light is relative to its maximum.
    """
    columns = min(columns, 16)
    rows = math.ceil(weights.shape[0] / columns)
    overview_height = _scaled_height(picture, _OVERVIEW)
    tile_height = _scaled_height(picture, _TILE)
    width = max(2 * _OVERVIEW + _MARGIN, columns * (_TILE + _MARGIN)) + 2 * _MARGIN
    tiles_top = overview_height + _CAPTION + 3 * _MARGIN
    height = tiles_top + rows * (tile_height + _CAPTION + _MARGIN)
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)

    large = picture.resize((_OVERVIEW, overview_height))
    coverage = weights.sum(dim=0)
    _paste(sheet, draw, large, (_MARGIN, _MARGIN), f"{grid.num_tokens} visual tokens")
    summary = figures.summary()
    caption = (
        f"coverage by {weights.shape[0]}: largest column sum {summary['max_column_sum']:.2f}, "
        f"unseen {summary['unseen_share']:.0%}"
    )
    place = (2 * _MARGIN + _OVERVIEW, _MARGIN)
    _paste(sheet, draw, _lit(large, coverage, grid), place, caption)

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
