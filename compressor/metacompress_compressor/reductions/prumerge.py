"""PruMerge: tokens that the class token looks at, each enriched by its neighbours."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from metacompress_compressor.windows import WindowKind

from .base import Budget, PictureBatch, Reduced, in_order, others, strided, take


@dataclass(frozen=True)
class PruMerge:
    """The m - 1 tokens with the most attention from CLS, and one token for all the rest.

    With a the attention of CLS, all heads as one: a kept token i becomes x_i + sum of a_j x_j over
    its 32 nearest by the keys' cosine; the extra token is the sum of a_j x_j over those not kept,
    and stands at the picture's end.

    Args:
        layer: whose queries and keys. The rule says the last; where LLaVA does not use that
            layer's output a checkpoint may have left it untrained, as the embedded model has.
        neighbours: how many are added to each kept token.

    Source: Shang et al., arXiv 2403.15388, with the number of tokens given instead of found by
    the interquartile range.
    """

    layer: Literal["last", "penultimate"] = "last"
    neighbours: int = 32
    name: ClassVar[str] = "prumerge"
    windows: ClassVar[WindowKind | None] = None

    def __call__(self, pictures: PictureBatch, budget: Budget) -> Reduced:
        layer = getattr(pictures.context, self.layer)
        attention = layer.joint_cls_attention
        chosen = self._choose(attention, budget.num_tokens - 1)
        weighted = attention.unsqueeze(-1).to(pictures.tokens.dtype) * pictures.tokens
        added = _neighbourhood(layer.patch_keys, chosen, self.neighbours) @ weighted
        rest = take(weighted, others(chosen, pictures.tokens.shape[1])).sum(1, keepdim=True)
        tokens = torch.cat([take(pictures.tokens, chosen) + added, rest], dim=1)
        end = chosen.new_full((len(chosen), 1), pictures.tokens.shape[1] - 1)
        return in_order(tokens, torch.cat([chosen, end], dim=1))

    def _choose(self, attention: Tensor, count: int) -> Tensor:
        return attention.topk(count, dim=1).indices


@dataclass(frozen=True)
class PruMergePlus(PruMerge):
    """PruMerge with a quarter of its tokens by attention and the others strided over the rest.

    The quarter is the share that the method's own settings lead to, at any m here.
    """

    attended_share: float = 0.25
    name: ClassVar[str] = "prumerge_plus"
    windows: ClassVar[WindowKind | None] = None

    def _choose(self, attention: Tensor, count: int) -> Tensor:
        attended = attention.topk(round(self.attended_share * count), dim=1).indices
        rest = others(attended, attention.shape[1])
        places = strided(rest.shape[1], count - attended.shape[1])
        return torch.cat([attended, rest[:, places]], dim=1)


def _neighbourhood(keys: Tensor, chosen: Tensor, count: int) -> Tensor:
    """Ones at the `count` tokens most like each of `chosen` `[B, K]`, not itself: `[B, K, N]`."""
    directions = normalize(keys.float(), dim=-1)
    likeness = take(directions, chosen) @ directions.transpose(1, 2)
    likeness.scatter_(2, chosen.unsqueeze(-1), float("-inf"))
    nearest = likeness.topk(min(count, keys.shape[1] - 1), dim=2).indices
    return torch.zeros_like(likeness, dtype=keys.dtype).scatter_(2, nearest, 1.0)
