"""ToMe: the most similar tokens are merged, pair by pair, until m are left."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from metacompress_compressor.windows import WindowKind

from .base import Budget, PictureBatch, Reduced, in_order, take


@dataclass(frozen=True)
class ToMe:
    """Bipartite matching on the tower's keys, averaged over the heads, repeated until m remain.

    In each round every second token looks for its most similar partner among the others; the pairs
    that are most alike are merged, weighted by how many tokens each already stands for. A merged
    token stands at its partner's place. Here merging follows the projector; inside the tower, as
    first proposed, it would also shorten the tower's own work.

    Source: Bolya et al., arXiv 2210.09461, section 3; keys are the last but one layer's.
    """

    name: ClassVar[str] = "tome"
    windows: ClassVar[WindowKind | None] = None

    def __call__(self, pictures: PictureBatch, budget: Budget) -> Reduced:
        tokens = pictures.tokens
        keys = pictures.context.penultimate.mean_patch_keys.to(tokens.dtype)
        batch, n, _ = tokens.shape
        values = torch.cat([tokens, keys], dim=2)
        sizes = tokens.new_ones(batch, n, 1)
        places = torch.arange(n, device=tokens.device).expand(batch, -1)
        while values.shape[1] > budget.num_tokens:
            count = min(values.shape[1] - budget.num_tokens, values.shape[1] // 2)
            values, sizes, places = _merge(values, keys.shape[2], sizes, places, count)
        return Reduced(values[..., : tokens.shape[2]], places)


def _merge(
    values: Tensor, num_key_channels: int, sizes: Tensor, places: Tensor, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Merge `count` of the tokens at even places into tokens at odd ones."""
    keys = normalize(values[..., -num_key_channels:], dim=-1)
    likeness, partner = (keys[:, ::2] @ keys[:, 1::2].transpose(1, 2)).max(dim=2)
    order = likeness.argsort(dim=1, descending=True, stable=True)
    merged, unmerged = order[:, :count], order[:, count:]

    sums = torch.cat([values * sizes, sizes], dim=2)
    even, odd = sums[:, ::2], sums[:, 1::2].clone()
    target = take(partner, merged).unsqueeze(-1).expand(-1, -1, sums.shape[2])
    odd.scatter_add_(1, target, take(even, merged))
    joined = torch.cat([take(even, unmerged), odd], dim=1)
    left = in_order(joined, torch.cat([take(places[:, ::2], unmerged), places[:, 1::2]], dim=1))
    sizes = left.tokens[..., -1:]
    return left.tokens[..., :-1] / sizes, sizes, left.positions
