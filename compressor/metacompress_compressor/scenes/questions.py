"""Kinds of question about a scene, each with one exact answer.

An answer is a sentence that names what it speaks of before it tells something about it. That is
pleasant to read, and puts what must be looked up right beside the answer.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .catalogue import CATEGORIES, OBJECTS
from .layout import BOARD, CELL_NAMES, DIRECTIONS, Placement, Scene

NUMBERS: Final = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")


@dataclass(frozen=True)
class Turn:
    """A question with its answer.

    Attributes:
        kind: A key of `KINDS`.
        question: What the user asks.
        answer: The one right answer.
        referent: Name of the object that "it" means in the next question, or None.
    """

    kind: str
    question: str
    answer: str
    referent: str | None = None


#: Asks one kind of question about a scene; None where this scene (or "it") does not allow it.
Asker = Callable[[Scene, random.Random, "str | None"], "Turn | None"]


def _what(item: Placement | None) -> str:
    return OBJECTS[item.name].with_article if item else "nothing"


def _where_answer(item: Placement) -> str:
    return f"The {item.name} is at the {CELL_NAMES[item.cell]}."


def _size_answer(item: Placement) -> str:
    return f"The {item.name} is {_size(item)}."


def _size(item: Placement) -> str:
    return "big" if item.big else "small"


def _neighbour_answer(anchor: Placement, direction: str, found: Placement | None) -> str:
    place = CELL_NAMES[anchor.cell]
    return f"The {anchor.name} is at the {place}, and {direction} it is {_what(found)}."


def _name(item: Placement | None) -> str | None:
    return item.name if item else None


def _ask_at(scene: Scene, rng: random.Random, _: str | None) -> Turn:
    occupied = [item.cell for item in scene.objects]
    empty = [cell for cell in range(BOARD * BOARD) if cell not in occupied]
    cell = rng.choice(empty if rng.random() < 0.15 else occupied)
    question = rng.choice(("What is at the {}?", "What do you see at the {}?"))
    item = scene.at(cell)
    answer = f"At the {CELL_NAMES[cell]} is {_what(item)}."
    return Turn("at", question.format(CELL_NAMES[cell]), answer, _name(item))


def _ask_where(scene: Scene, rng: random.Random, _: str | None) -> Turn:
    item = rng.choice(scene.objects)
    question = rng.choice(("Where is the {}?", "Where do you see the {}?")).format(item.name)
    return Turn("where", question, _where_answer(item), item.name)


def _ask_count(scene: Scene, rng: random.Random, _: str | None) -> Turn:
    question = rng.choice(("How many objects are there?", "How many objects do you see?"))
    return Turn("count", question, f"There are {NUMBERS[len(scene.objects)]} objects.")


def _ask_count_category(scene: Scene, rng: random.Random, _: str | None) -> Turn:
    by_count: dict[int, list[str]] = {}
    for category in CATEGORIES:
        by_count.setdefault(scene.count(category), []).append(category)
    # Choosing the number first, then the category, keeps "no" and "one" from winning by habit.
    count = rng.choice(sorted(by_count))
    category = rng.choice(by_count[count])
    question = rng.choice(("How many {} are there?", "How many {} do you see?")).format(category)
    noun = CATEGORIES[category] if count == 1 else category
    verb = "is" if count == 1 else "are"
    return Turn("count_category", question, f"There {verb} {NUMBERS[count]} {noun}.")


def _ask_exists(scene: Scene, rng: random.Random, _: str | None) -> Turn:
    present = rng.random() < 0.5
    absent = [name for name in OBJECTS if scene.find(name) is None]
    name = rng.choice(scene.objects).name if present else rng.choice(absent)
    item = OBJECTS[name].with_article
    question = rng.choice(("Is there {}?", "Do you see {}?")).format(item)
    if present:
        return Turn("exists", question, f"Yes, there is {item}.", name)
    return Turn("exists", question, f"No, there is no {name}.")


def _choose_direction(scene: Scene, rng: random.Random, item: Placement) -> str:
    """Prefers directions in which something stands: most answers should name an object."""
    full = [way for way in DIRECTIONS if scene.neighbour(item, way)]
    return rng.choice(full) if full and rng.random() < 0.8 else rng.choice(list(DIRECTIONS))


def _ask_neighbour(scene: Scene, rng: random.Random, _: str | None) -> Turn:
    anchor = rng.choice(scene.objects)
    direction = _choose_direction(scene, rng, anchor)
    found = scene.neighbour(anchor, direction)
    question = f"What is {direction} the {anchor.name}?"
    return Turn("neighbour", question, _neighbour_answer(anchor, direction, found), _name(found))


def _ask_compare(scene: Scene, rng: random.Random, _: str | None) -> Turn | None:
    big = [item for item in scene.objects if item.big]
    small = [item for item in scene.objects if not item.big]
    if not big or not small:
        return None
    first, second = rng.sample([rng.choice(big), rng.choice(small)], 2)
    word = rng.choice(("bigger", "smaller"))
    question = f"Is the {first.name} {word} than the {second.name}?"
    sizes = f"The {first.name} is {_size(first)} and the {second.name} is {_size(second)}"
    verdict = "yes" if first.big == (word == "bigger") else "no"
    return Turn("compare", question, f"{sizes}, so {verdict}.")


def _ask_size(scene: Scene, rng: random.Random, _: str | None) -> Turn:
    item = rng.choice(scene.objects)
    return Turn("size", f"Is the {item.name} big or small?", _size_answer(item), item.name)


def _ask_background(scene: Scene, rng: random.Random, _: str | None) -> Turn:
    question = rng.choice(("What color is the background?", "Which color is the background?"))
    return Turn("background", question, f"The background is {scene.background}.")


def _ask_follow_up(scene: Scene, rng: random.Random, referent: str | None) -> Turn | None:
    item = scene.find(referent) if referent else None
    if item is None:
        return None
    topic = rng.choice(("neighbour", "neighbour", "where", "size"))
    if topic == "where":
        return Turn("follow_up", "And where is it?", _where_answer(item), item.name)
    if topic == "size":
        return Turn("follow_up", "Is it big or small?", _size_answer(item), item.name)
    direction = _choose_direction(scene, rng, item)
    found = scene.neighbour(item, direction)
    answer = _neighbour_answer(item, direction, found)
    return Turn("follow_up", f"And what is {direction} it?", answer, _name(found))


#: Kind of question -> how to ask it.
KINDS: Final[dict[str, Asker]] = {
    "at": _ask_at,
    "where": _ask_where,
    "count": _ask_count,
    "count_category": _ask_count_category,
    "exists": _ask_exists,
    "neighbour": _ask_neighbour,
    "compare": _ask_compare,
    "size": _ask_size,
    "background": _ask_background,
    "follow_up": _ask_follow_up,
}
