"""Where things stand in a scene: up to eight different objects on a 3 x 3 board, with jitter."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import Final

from .catalogue import CATEGORIES, OBJECTS

IMAGE_SIZE: Final = 256
BOARD: Final = 3
CELL_NAMES: Final = (
    "top left",
    "top",
    "top right",
    "left",
    "center",
    "right",
    "bottom left",
    "bottom",
    "bottom right",
)
#: Direction -> (row step, column step).
DIRECTIONS: Final = {
    "above": (-1, 0),
    "below": (1, 0),
    "to the left of": (0, -1),
    "to the right of": (0, 1),
}
#: Side of an object's picture in pixels, inclusive ranges. The gap makes "bigger" unambiguous.
SMALL_SIZES: Final = (42, 52)
BIG_SIZES: Final = (70, 82)
MIN_OBJECTS: Final = 3
MAX_OBJECTS: Final = 8
#: Background name -> RGB.
BACKGROUNDS: Final = {
    "white": (238, 238, 238),
    "gray": (128, 128, 128),
    "black": (30, 30, 30),
    "red": (196, 70, 70),
    "green": (90, 170, 90),
    "blue": (80, 120, 210),
    "yellow": (228, 208, 96),
    "purple": (146, 96, 190),
}


@dataclass(frozen=True)
class Placement:
    """One object on the board.

    Attributes:
        name: A name of the catalogue.
        cell: Index of its cell, row-major, as in `CELL_NAMES`.
        big: Whether its size is from the big range.
        left, top, size: Its square in pixels.
        mirrored: Whether its picture is flipped left to right.
    """

    name: str
    cell: int
    big: bool
    left: int
    top: int
    size: int
    mirrored: bool

    @property
    def center(self) -> tuple[float, float]:
        """(x, y) in pixels."""
        return self.left + self.size / 2, self.top + self.size / 2


@dataclass(frozen=True)
class Scene:
    """A picture before it is drawn.

    Attributes:
        background: A key of `BACKGROUNDS`.
        texture_seed: Seed of the background's texture.
        objects: Placements with different names and different cells, in order of cells.
    """

    background: str
    texture_seed: int
    objects: tuple[Placement, ...]

    def at(self, cell: int) -> Placement | None:
        """The object in a cell, or None."""
        return next((item for item in self.objects if item.cell == cell), None)

    def find(self, name: str) -> Placement | None:
        """The object with a name, or None."""
        return next((item for item in self.objects if item.name == name), None)

    def neighbour(self, item: Placement, direction: str) -> Placement | None:
        """The object in the next cell in a direction, or None if that is empty or off the board."""
        row, column = divmod(item.cell, BOARD)
        row_step, column_step = DIRECTIONS[direction]
        row, column = row + row_step, column + column_step
        inside = 0 <= row < BOARD and 0 <= column < BOARD
        return self.at(row * BOARD + column) if inside else None

    def count(self, category: str) -> int:
        """How many objects belong to a category."""
        return Counter(OBJECTS[item.name].category for item in self.objects)[category]


def _place(rng: random.Random, name: str, cell: int) -> Placement:
    big = rng.random() < 0.5
    size = rng.randint(*(BIG_SIZES if big else SMALL_SIZES))
    size -= size % 2  # even sizes halve the number of scaled pictures worth caching
    row, column = divmod(cell, BOARD)
    left, right = column * IMAGE_SIZE // BOARD, (column + 1) * IMAGE_SIZE // BOARD
    top, bottom = row * IMAGE_SIZE // BOARD, (row + 1) * IMAGE_SIZE // BOARD
    return Placement(
        name=name,
        cell=cell,
        big=big,
        left=rng.randint(left, right - size),
        top=rng.randint(top, bottom - size),
        size=size,
        mirrored=rng.random() < 0.5,
    )


def _sample_names(rng: random.Random, count: int) -> list[str]:
    """Different names from unevenly mixed categories: counting one has no safe guess."""
    weights = {category: rng.gammavariate(0.7, 1.0) + 1e-3 for category in CATEGORIES}
    names = list(OBJECTS)
    # Weighted sampling without replacement (Efraimidis and Spirakis 2006): the largest log(u) / w.
    keys = {name: -rng.expovariate(1.0) / weights[OBJECTS[name].category] for name in names}
    return sorted(names, key=keys.__getitem__, reverse=True)[:count]


def sample_scene(rng: random.Random) -> Scene:
    """Draws a scene: a background, 3 to 8 objects, their cells, sizes and jitter."""
    count = rng.randint(MIN_OBJECTS, MAX_OBJECTS)
    cells = sorted(rng.sample(range(BOARD * BOARD), count))
    names = _sample_names(rng, count)
    rng.shuffle(names)
    return Scene(
        background=rng.choice(list(BACKGROUNDS)),
        texture_seed=rng.getrandbits(32),
        objects=tuple(_place(rng, name, cell) for name, cell in zip(names, cells, strict=True)),
    )
