"""LVLM families over transformers: what training and evaluation need of a frozen checkpoint."""

from .base import Adapter, AdapterError
from .dialogue_text import DialogueEncoder, EncodedDialogue, TurnText
from .loading import load_adapter
from .sequence import DialogueBatch, Placement, collate
from .vision_context import TowerLayer, VisionContext

__all__ = [
    "Adapter",
    "AdapterError",
    "DialogueBatch",
    "DialogueEncoder",
    "EncodedDialogue",
    "Placement",
    "TowerLayer",
    "TurnText",
    "VisionContext",
    "collate",
    "load_adapter",
]
