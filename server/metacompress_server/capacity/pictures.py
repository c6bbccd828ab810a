"""How many visual tokens a model makes of a picture: one rule for each family."""

import math
from dataclasses import dataclass
from typing import Protocol

from metacompress_compressor.any_resolution import any_resolution_layout, best_resolution
from metacompress_compressor.layout import PictureLayout
from metacompress_compressor.windows import Grid


class PictureRule(Protocol):
    """What a picture becomes, by its sides in pixels."""

    def layout(self, width: int, height: int) -> PictureLayout:
        """The n tokens that reach the language model."""

    def tower_lengths(self, width: int, height: int) -> list[int]:
        """The sequences that the vision tower works on, in its own tokens."""


@dataclass(frozen=True)
class OneGrid:
    """LLaVA-1.5: every picture is brought to one size."""

    image_size: int
    patch_size: int

    def layout(self, width: int, height: int) -> PictureLayout:
        del width, height
        side = self.image_size // self.patch_size
        return PictureLayout.of_grid(Grid(side, side))

    def tower_lengths(self, width: int, height: int) -> list[int]:
        return [self.layout(width, height).num_tokens + 1]  # the class token


@dataclass(frozen=True)
class Tiles:
    """LLaVA-NeXT: an overview, and tiles of the best of some resolutions `(height, width)`."""

    image_size: int
    patch_size: int
    pinpoints: tuple[tuple[int, int], ...]

    def layout(self, width: int, height: int) -> PictureLayout:
        return any_resolution_layout(
            width,
            height,
            pinpoints=self.pinpoints,
            image_size=self.image_size,
            patch_size=self.patch_size,
        )

    def tower_lengths(self, width: int, height: int) -> list[int]:
        best_height, best_width = best_resolution(width, height, self.pinpoints)
        tiles = best_height * best_width // self.image_size**2
        return [(self.image_size // self.patch_size) ** 2 + 1] * (1 + tiles)


@dataclass(frozen=True)
class NativeSize:
    """Qwen2-VL: the picture's own size, rounded to whole tokens, between two numbers of pixels.

    Attributes:
        patch_size: side of the tower's patch, in pixels.
        merge: patches along a token's side.
        least, most: pixels of a picture.
    """

    patch_size: int
    merge: int
    least: int
    most: int

    def layout(self, width: int, height: int) -> PictureLayout:
        side = self.patch_size * self.merge
        rows, cols = max(1, round(height / side)), max(1, round(width / side))
        pixels = rows * cols * side**2
        if pixels > self.most:
            shrink = math.sqrt(width * height / self.most)
            rows = max(1, math.floor(height / shrink / side))
            cols = max(1, math.floor(width / shrink / side))
        elif pixels < self.least:
            grow = math.sqrt(self.least / (width * height))
            rows, cols = math.ceil(height * grow / side), math.ceil(width * grow / side)
        return PictureLayout.of_grid(Grid(rows, cols))

    def tower_lengths(self, width: int, height: int) -> list[int]:
        return [self.layout(width, height).num_tokens * self.merge**2]
