"""Floating-point operations of a prefill, and what it leaves in the KV cache.

One multiply-add counts as two operations. For a language model of LLaMA's layout, with hidden size
d, H query heads and H' key heads of size c, an MLP of width f with three matrices, and V entries in
the vocabulary, a layer that sees T tokens costs

    2 T (2 d H c + 2 d H' c + 3 d f)  +  4 T² H c

The first part is the projections of queries, output, keys, values and the MLP; the second is the
scores and the weighted sum, counted for all pairs, as attention without a causal kernel computes
them and as `torch.utils.flop_counter` counts. The head costs 2 d V for the one token whose logits
are needed. Norms, rotary positions, softmax and activations are left out: below one percent.

FastV's first K layers see all n visual tokens, its others m. Its ranking needs one row of scores,
2 T H c, in layer K - 1. Keys and values likewise: n in K layers, m in the others; a paged cache
whose blocks span all layers keeps n in every one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metacompress_compressor.reductions import FastV

from .scoring import Method


@dataclass(frozen=True)
class LanguageModelShape:
    """The sizes that decide the cost of a language model of LLaMA's layout."""

    hidden_size: int
    num_layers: int
    num_heads: int
    num_key_heads: int
    head_size: int
    mlp_width: int
    vocabulary: int

    @classmethod
    def of(cls, config: Any) -> "LanguageModelShape":
        """From a transformers configuration of an LVLM."""
        text = config.get_text_config()
        return cls(
            hidden_size=text.hidden_size,
            num_layers=text.num_hidden_layers,
            num_heads=text.num_attention_heads,
            num_key_heads=text.num_key_value_heads,
            head_size=getattr(text, "head_dim", None)
            or text.hidden_size // text.num_attention_heads,
            mlp_width=text.intermediate_size,
            vocabulary=text.vocab_size,
        )

    def layer_flops(self, num_tokens: int) -> int:
        """Of one layer that sees `num_tokens`."""
        queries = self.num_heads * self.head_size
        keys = self.num_key_heads * self.head_size
        weights = self.hidden_size * (2 * queries + 2 * keys + 3 * self.mlp_width)
        return 2 * num_tokens * weights + 4 * num_tokens**2 * queries

    def prefill_flops(self, tokens_by_layer: Sequence[int]) -> int:
        """Of a prefill whose layers see these numbers of tokens."""
        layers = sum(map(self.layer_flops, tokens_by_layer))
        return layers + 2 * self.hidden_size * self.vocabulary


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
