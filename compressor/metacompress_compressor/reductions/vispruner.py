"""VisPruner: tokens that the class token looks at, and of the others those that differ most."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from metacompress_compressor.windows import WindowKind

from .base import Budget, PictureBatch, Reduced, keep, others, take

_DROPPED_AT_ONCE = 8


@dataclass(frozen=True)
class VisPruner:
    """A share of m by attention from CLS; the rest loses its most similar tokens, 8 at a time.

    In each round the rest is split by parity; of the even ones, those go that are most like one of
    the odd ones, by cosine of the visual tokens.

    Args:
        attended_share: of m, by the last but one layer's attention, averaged over heads.

    Source: Zhang et al., arXiv 2412.01818.
    """

    attended_share: float = 0.5
    name: ClassVar[str] = "vispruner"
    windows: ClassVar[WindowKind | None] = None

    def __call__(self, pictures: PictureBatch, budget: Budget) -> Reduced:
        attention = pictures.context.penultimate.cls_attention.mean(dim=1)
        attended = attention.topk(round(self.attended_share * budget.num_tokens), dim=1).indices
        rest = others(attended, pictures.tokens.shape[1])
        directions = normalize(pictures.tokens.float(), dim=-1)
        wanted = budget.num_tokens - attended.shape[1]
        while rest.shape[1] > wanted:
            rest = _drop_similar(rest, directions, wanted)
        return keep(pictures.tokens, torch.cat([attended, rest], dim=1))


def _drop_similar(rest: Tensor, directions: Tensor, wanted: int) -> Tensor:
    even, odd = rest[:, ::2], rest[:, 1::2]
    if not odd.shape[1]:
        return rest[:, :wanted]
    likeness = (take(directions, even) @ take(directions, odd).transpose(1, 2)).amax(dim=2)
    count = min(_DROPPED_AT_ONCE, rest.shape[1] - wanted, even.shape[1])
    dropped = likeness.argsort(dim=1, descending=True, stable=True)[:, :count]
    left = take(even, others(dropped, even.shape[1]))
    return torch.cat([left, odd], dim=1).sort(dim=1).values
