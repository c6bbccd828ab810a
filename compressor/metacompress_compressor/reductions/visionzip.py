"""VisionZip: dominant tokens as they are, the rest merged into a few contextual ones."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from metacompress_compressor.windows import WindowKind

from .base import Budget, PictureBatch, Reduced, in_order, others, strided, take


@dataclass(frozen=True)
class VisionZip:
    """The tokens with the most attention from CLS, and strided targets that take up the others.

    Attention is the last but one layer's, summed over heads. Each token that is neither dominant
    nor a target goes to the target whose key is most like its own; a target becomes itself plus
    the mean of those.

    Args:
        dominant_share: 54 of 64 in the method's own settings (54 + 10, 108 + 20, 162 + 30);
            at least one token is contextual.

    Source: Yang et al., arXiv 2412.04467; tokens are put in the picture's order.
    """

    dominant_share: float = 54 / 64
    name: ClassVar[str] = "visionzip"
    windows: ClassVar[WindowKind | None] = None

    def __call__(self, pictures: PictureBatch, budget: Budget) -> Reduced:
        layer, tokens = pictures.context.penultimate, pictures.tokens
        attention = layer.cls_attention.sum(dim=1)
        count = min(round(self.dominant_share * budget.num_tokens), budget.num_tokens - 1)
        dominant = attention.topk(count, dim=1).indices
        rest = others(dominant, pictures.tokens.shape[1])
        targets = strided(rest.shape[1], budget.num_tokens - dominant.shape[1])
        contextual = _take_up(take(tokens, rest), take(layer.patch_keys, rest), targets)
        return in_order(
            torch.cat([take(tokens, dominant), contextual], dim=1),
            torch.cat([dominant, rest[:, targets]], dim=1),
        )


def _take_up(tokens: Tensor, keys: Tensor, targets: list[int]) -> Tensor:
    """Each target plus the mean of the tokens that are most like it, `[B, len(targets), D]`."""
    keys = normalize(keys.float(), dim=-1)
    goes_to = (keys @ keys[:, targets].transpose(1, 2)).argmax(dim=2)
    assigned = torch.nn.functional.one_hot(goes_to, len(targets)).to(tokens.dtype)
    assigned[:, targets] = 0
    counts = assigned.sum(dim=1).clamp_min(1).unsqueeze(-1)
    return tokens[:, targets] + assigned.transpose(1, 2) @ tokens / counts
