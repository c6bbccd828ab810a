"""DivPrune: tokens that are as unlike each other as possible."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn.functional import normalize

from metacompress_compressor.windows import WindowKind

from .base import Budget, PictureBatch, Reduced, keep, take


@dataclass(frozen=True)
class DivPrune:
    """Greedy max-min selection on the distance 1 - cosine of the visual tokens.

    First the token whose nearest neighbour is farthest, then always the one farthest from all that
    are chosen.

    Source: Alvar et al., arXiv 2503.02175.
    """

    name: ClassVar[str] = "divprune"
    windows: ClassVar[WindowKind | None] = None

    def __call__(self, pictures: PictureBatch, budget: Budget) -> Reduced:
        directions = normalize(pictures.tokens.float(), dim=-1)
        distance = 1 - directions @ directions.transpose(1, 2)
        itself = torch.eye(distance.shape[1], dtype=torch.bool, device=distance.device)
        to_nearest = distance.masked_fill(itself, float("inf")).amin(dim=2)
        chosen = to_nearest.argmax(dim=1, keepdim=True)
        to_chosen = torch.full_like(to_nearest, float("inf"))
        while chosen.shape[1] < budget.num_tokens:
            newest = chosen[:, -1:]
            to_chosen = torch.minimum(to_chosen, take(distance, newest).squeeze(1))
            to_chosen.scatter_(1, newest, float("-inf"))
            chosen = torch.cat([chosen, to_chosen.argmax(dim=1, keepdim=True)], dim=1)
        return keep(pictures.tokens, chosen)
