"""The objects as a font of colour bitmaps draws them: another style, to test what transfers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from .catalogue import OBJECTS

DEBIAN_FONT: Final = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
_STRIKE: Final = 109  # the one size, in pixels, that Noto Color Emoji holds bitmaps of
_CANVAS: Final = 192
_MARGIN: Final = 0.04  # of the tile's side, about what the vendored pictures have


class FontError(ValueError):
    """A font that cannot draw the objects. The message is one line."""


def emoji_tile(font: Path, name: str) -> Image.Image:
    """One object's picture, square, RGBA.

    Args:
        font: Noto Color Emoji, or another font with bitmaps of its size.
        name: A name of the catalogue.

    Raises:
        FontError: No such font, one without those bitmaps, or one without this object.
    """
    canvas = Image.new("RGBA", (_CANVAS, _CANVAS))
    text = chr(int(OBJECTS[name].code_point, 16))
    ImageDraw.Draw(canvas).text((20, 20), text, font=_load(font), embedded_color=True)
    box = canvas.getbbox()
    red, green, blue, _ = canvas.split()
    if box is None or red.tobytes() == green.tobytes() == blue.tobytes():
        raise FontError(f"{font} has no colour picture of the {name}")
    glyph = canvas.crop(box)
    side = round(max(glyph.size) * (1 + 2 * _MARGIN))
    tile = Image.new("RGBA", (side, side))
    tile.paste(glyph, ((side - glyph.width) // 2, (side - glyph.height) // 2))
    return tile


@cache
def _load(font: Path) -> ImageFont.FreeTypeFont:
    try:
        return ImageFont.truetype(str(font), _STRIKE)
    except OSError as error:
        raise FontError(
            f"cannot use {font} as a font of colour bitmaps ({error}); on Debian, Noto Color Emoji "
            "is the package fonts-noto-color-emoji"
        ) from error
