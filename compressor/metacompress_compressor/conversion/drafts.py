"""What a converter gives: dialogues whose pictures are yet to be found, and what it leaves out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class ConversionError(ValueError):
    """A file that is not what its converter reads. The message is one line that names it."""


@dataclass(frozen=True)
class Draft:
    """A dialogue.

    Attributes:
        pictures: names that its picture may have, relative to the folder of pictures.
        turns: as a dialogue file holds them.
        source: where it comes from, for messages.
    """

    pictures: tuple[str, ...]
    turns: tuple[dict[str, Any], ...]
    source: str


@dataclass(frozen=True)
class LeftOut:
    """`count` questions or dialogues that are not converted, and why."""

    reason: str
    source: str
    count: int = 1


def in_dialogues(
    turns_of: Mapping[tuple[str, ...], Sequence[dict[str, Any]]],
    size: int,
    *,
    keep_remainder: bool,
    source: str,
) -> Iterator[Draft | LeftOut]:
    """Cut the questions about each picture, in source order, into dialogues of `size` turns.

    Args:
        turns_of: the questions about each picture, by the picture's names.
        size: turns of a dialogue.
        keep_remainder: whether the last few questions of a picture make a shorter dialogue.
        source: file that they come from.
    """
    for pictures, turns in turns_of.items():
        for start in range(0, len(turns), size):
            some = turns[start : start + size]
            where = f"{source}: picture {pictures[0]}"
            if len(some) == size or keep_remainder:
                yield Draft(pictures, tuple(some), where)
            else:
                yield LeftOut(f"remainder of fewer than {size} questions", where, len(some))
