"""Synthetic pictures with exact answers: scenes of named objects, and dialogues about them."""

from .catalogue import CATEGORIES, OBJECTS, SceneObject
from .dialogue import Dialogue, sample_dialogue
from .draw import draw_scene
from .layout import CELL_NAMES, IMAGE_SIZE, Placement, Scene, sample_scene
from .questions import KINDS, Turn

__all__ = [
    "CATEGORIES",
    "CELL_NAMES",
    "IMAGE_SIZE",
    "KINDS",
    "OBJECTS",
    "Dialogue",
    "Placement",
    "Scene",
    "SceneObject",
    "Turn",
    "draw_scene",
    "sample_dialogue",
    "sample_scene",
]
