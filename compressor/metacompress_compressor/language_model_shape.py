"""Sizes of a language model of LLaMA's layout, and what they cost: weights, keys and values, work.

One multiply-add counts as two operations. With hidden size d, H query heads and H' key heads of
size c, an MLP of width f with three matrices, and V entries in the vocabulary, a layer that sees T
tokens costs

    2 T (2 d H c + 2 d H' c + 3 d f)  +  4 T² H c

The first part is the projections of queries, output, keys, values and the MLP; the second is the
scores and the weighted sum, counted for all pairs, as attention without a causal kernel computes
them and as `torch.utils.flop_counter` counts. The head costs 2 d V for the one token whose logits
are needed. Norms, rotary positions, softmax and activations are left out: below one percent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


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
    tied: bool = False

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
            tied=bool(getattr(text, "tie_word_embeddings", False)),
        )

    @property
    def layer_weights(self) -> int:
        """Numbers in the matrices of one layer."""
        queries = self.num_heads * self.head_size
        keys = self.num_key_heads * self.head_size
        return self.hidden_size * (2 * queries + 2 * keys + 3 * self.mlp_width)

    @property
    def weights(self) -> int:
        """Numbers in all matrices: layers, embeddings, and the head where it is another matrix."""
        tables = self.hidden_size * self.vocabulary * (1 if self.tied else 2)
        return self.num_layers * self.layer_weights + tables

    @property
    def kv_numbers_per_token(self) -> int:
        """Keys and values of one token in all layers."""
        return 2 * self.num_layers * self.num_key_heads * self.head_size

    def layer_flops(self, num_tokens: int) -> int:
        """Of one layer that sees `num_tokens`."""
        attention = 4 * num_tokens**2 * self.num_heads * self.head_size
        return 2 * num_tokens * self.layer_weights + attention

    def prefill_flops(self, tokens_by_layer: Sequence[int]) -> int:
        """Of a prefill whose layers see these numbers of tokens."""
        layers = sum(map(self.layer_flops, tokens_by_layer))
        return layers + 2 * self.hidden_size * self.vocabulary
