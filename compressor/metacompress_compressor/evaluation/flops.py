"""Floating-point operations of a prefill for every method, and what it leaves in the KV cache.

Counted as `language_model_shape` says. FastV's first K layers see all n visual tokens, its others
m. Its ranking needs one row of scores, 2 T H c, in layer K - 1. Keys and values likewise: n in K
layers, m in the others; a paged cache whose blocks span all layers keeps n in every one.
"""

from metacompress_compressor.language_model_shape import LanguageModelShape
from metacompress_compressor.reductions import FastV

from .scoring import Method


def visual_tokens_by_layer(
    method: Method, shape: LanguageModelShape, num_tokens: int, num_kept: int
) -> list[int]:
    """How many of a picture's n visual tokens each layer sees, and keeps keys and values of."""
    if isinstance(method, FastV):
        return [num_tokens] * method.layers + [num_kept] * (shape.num_layers - method.layers)
    return [num_kept] * shape.num_layers


def prefill_flops(
    method: Method, shape: LanguageModelShape, num_tokens: int, num_kept: int, text_tokens: int
) -> int:
    """Of the prefill of a prompt with one picture.

    Args:
        method: what is done to the picture's tokens.
        shape: of the language model.
        num_tokens, num_kept: n and m.
        text_tokens: of the prompt, without the picture.
    """
    visual = visual_tokens_by_layer(method, shape, num_tokens, num_kept)
    total = shape.prefill_flops([text_tokens + count for count in visual])
    if isinstance(method, FastV):
        total += 2 * (num_tokens + text_tokens) * shape.num_heads * shape.head_size
    return total
