"""The objects of the scenes: 76 names in four categories, each with its emoji code point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class SceneObject:
    """One kind of object.

    Attributes:
        name: One English word, unique in the catalogue.
        category: Plural noun of its category, a key of `CATEGORIES`.
        code_point: Unicode code point of its picture, lower-case hexadecimal.
    """

    name: str
    category: str
    code_point: str

    @property
    def with_article(self) -> str:
        """The name behind its indefinite article if it takes one: "an owl", "a fox", "bread"."""
        if self.name in _WITHOUT_ARTICLE:
            return self.name
        return f"{'an' if self.name[0] in 'aeio' else 'a'} {self.name}"


_WITHOUT_ARTICLE: Final = frozenset({"bread", "broccoli", "cheese", "corn"})

#: Plural noun of each category -> its singular.
CATEGORIES: Final = {
    "animals": "animal",
    "foods": "food",
    "vehicles": "vehicle",
    "tools": "tool",
}

_CODE_POINTS: Final = {
    "animals": (
        "monkey 1f412 dog 1f415 fox 1f98a cat 1f408 lion 1f981 tiger 1f405 horse 1f40e zebra 1f993 "
        "cow 1f404 pig 1f416 elephant 1f418 mouse 1f401 rabbit 1f407 bear 1f43b panda 1f43c "
        "penguin 1f427 owl 1f989 frog 1f438 turtle 1f422 whale 1f433"
    ),
    "foods": (
        "peach 1f351 watermelon 1f349 lemon 1f34b banana 1f34c pineapple 1f34d apple 1f34e "
        "pear 1f350 strawberry 1f353 tomato 1f345 avocado 1f951 carrot 1f955 corn 1f33d "
        "broccoli 1f966 bread 1f35e cheese 1f9c0 hamburger 1f354 pizza 1f355 taco 1f32e "
        "doughnut 1f369 cake 1f382"
    ),
    "vehicles": (
        "train 1f686 tram 1f68b bus 1f68c ambulance 1f691 taxi 1f695 car 1f697 truck 1f69a "
        "tractor 1f69c motorcycle 1f3cd scooter 1f6f4 bicycle 1f6b2 sailboat 26f5 canoe 1f6f6 "
        "ship 1f6a2 airplane 2708 helicopter 1f681 rocket 1f680 sled 1f6f7"
    ),
    "tools": (
        "hammer 1f528 axe 1fa93 saw 1fa9a wrench 1f527 screwdriver 1fa9b gear 2699 key 1f511 "
        "hook 1fa9d magnet 1f9f2 ladder 1fa9c broom 1f9f9 bucket 1faa3 pencil 270f "
        "paintbrush 1f58c ruler 1f4cf toothbrush 1faa5 flashlight 1f526 microscope 1f52c"
    ),
}


def _parse(category: str) -> list[SceneObject]:
    words = _CODE_POINTS[category].split()
    return [
        SceneObject(name, category, code)
        for name, code in zip(words[::2], words[1::2], strict=True)
    ]


#: Every object by name, in a fixed order (the order of the atlas tiles).
OBJECTS: Final[dict[str, SceneObject]] = {
    item.name: item for category in CATEGORIES for item in _parse(category)
}
