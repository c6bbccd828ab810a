"""Ordinary rotary embedding in the place of M-RoPE: with three equal rows both turn by one angle.

The text config's `mrope_section` makes vLLM ask the model for positions, and makes it build M-RoPE,
which takes a dozen small operations on a CPU where the ordinary one is fused into one.
"""

from torch import nn
from vllm.model_executor.layers.rotary_embedding.base import RotaryEmbedding
from vllm.model_executor.layers.rotary_embedding.mrope import MRotaryEmbedding


def use_ordinary_rotary(language_model: nn.Module) -> int:
    """Replace every M-RoPE below a module; layers that shared one go on sharing one.

    From then on the module takes positions `[tokens]` instead of `[3, tokens]`.

    Returns:
        How many places had one.
    """
    ordinary: dict[nn.Module, RotaryEmbedding] = {}
    places = [
        (parent, name, child)
        for parent in language_model.modules()
        for name, child in parent.named_children()
        if isinstance(child, MRotaryEmbedding)
    ]
    for parent, name, child in places:
        if child not in ordinary:
            ordinary[child] = _ordinary(child)
        setattr(parent, name, ordinary[child])
    return len(places)


def _ordinary(rotary: MRotaryEmbedding) -> RotaryEmbedding:
    """With the same angles, scaled (YaRN) or not: they are the other's own."""
    found = RotaryEmbedding(
        rotary.head_size,
        rotary.rotary_dim,
        rotary.max_position_embeddings,
        rotary.base,
        rotary.is_neox_style,
        rotary.dtype,
        init_cache=False,
    )
    found.register_buffer("cos_sin_cache", rotary.cos_sin_cache, persistent=False)
    return found
