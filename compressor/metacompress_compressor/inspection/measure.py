"""Figures that describe one picture's P: how sharp its rows are, how evenly they share tokens."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class WeightFigures:
    """Figures of one P `[M, N]`.

    Attributes:
        entropy: of each row in nats, M numbers; `exp(entropy)` is how many tokens a row looks at.
        coverage: column sums, N numbers: how much of the output comes from each token.
        unseen_share: share of tokens with less than a tenth of an even share, `M / N`.
    """

    entropy: tuple[float, ...]
    coverage: tuple[float, ...]
    unseen_share: float

    def summary(self) -> dict[str, float]:
        """The figures in a few numbers, for a line of JSON."""
        return {
            "mean_entropy_nats": round(sum(self.entropy) / len(self.entropy), 4),
            "max_column_sum": round(max(self.coverage), 4),
            "unseen_share": round(self.unseen_share, 4),
        }


def measure_weights(weights: Tensor) -> WeightFigures:
    """Figures of one picture's P `[M, N]`, rows that sum to one."""
    coverage = weights.sum(dim=0)
    return WeightFigures(
        entropy=tuple(torch.special.entr(weights).sum(dim=1).tolist()),
        coverage=tuple(coverage.tolist()),
        unseen_share=unseen_share(coverage),
    )


def unseen_share(coverage: Tensor) -> float:
    """Share of tokens with less than a tenth of an even share of `coverage` `[N]`."""
    return float((coverage < 0.1 * coverage.mean()).float().mean())
