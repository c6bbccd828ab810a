"""Positions of our choosing for a language model with ordinary rotary positions.

vLLM takes positions from the model class when the text configuration has an `mrope_section`; three
equal rows of positions are then the same as ordinary one-dimensional rotary positions.
"""

from collections.abc import Mapping
from typing import Any

_WITH_SECTIONS = ("default", "yarn")


class RopeError(ValueError):
    """The language model cannot keep a picture's positions. The message is one line."""


def mrope_section(text_config: Mapping[str, Any]) -> list[int]:
    """Three section sizes that sum to half the rotary size of the language model.

    Args:
        text_config: the text configuration as a dictionary.

    Raises:
        RopeError: a kind of rotary positions for which vLLM does not honour sections.
    """
    rope = rope_parameters(text_config)
    kind = rope.get("rope_type", "default")
    if kind not in _WITH_SECTIONS:
        raise RopeError(
            f"this model's rope_type {kind!r} cannot keep a picture's positions; "
            'use a compressor artifact with "positions": "contiguous"'
        )
    half = int(head_size(text_config) * rope.get("partial_rotary_factor", 1.0)) // 2
    third = half // 3
    return [half - 2 * third, third, third]


def position_limit(text_config: Mapping[str, Any]) -> int:
    """How many positions the language model was made for."""
    rope = rope_parameters(text_config)
    if rope.get("rope_type") == "yarn":
        return int(rope["original_max_position_embeddings"] * rope["factor"])
    return int(text_config["max_position_embeddings"])


def head_size(text_config: Mapping[str, Any]) -> int:
    """Channels of one attention head."""
    given = text_config.get("head_dim")
    return int(given or text_config["hidden_size"] // text_config["num_attention_heads"])


def rope_parameters(text_config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The rotary settings, under their name of transformers 5 or of older checkpoints."""
    rope = text_config.get("rope_parameters") or text_config.get("rope_scaling") or {}
    if "rope_type" not in rope and "type" in rope:
        return {**rope, "rope_type": rope["type"]}
    return dict(rope)
