"""Where the files of the embedded LLaVA-1.5-like model are. Imports neither torch nor vLLM."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent

__all__ = ["compressor_dir", "model_dir", "pictures_dir"]


def model_dir() -> Path:
    """The Hugging Face checkpoint."""
    return _HERE / "model"


def compressor_dir() -> Path:
    """The compressor artifact trained for `model_dir()`."""
    return _HERE / "compressor"


def pictures_dir() -> Path:
    """Sample pictures with `dialogues.jsonl`, questions and expected answers about them."""
    return _HERE / "pictures"
