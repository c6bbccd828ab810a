"""Intervals by drawing dialogues again: the turns of a dialogue belong together."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def record(self, digits: int = 4) -> dict[str, float | list[float] | None]:
        """As JSON holds it, None for what is not defined."""
        if not all(map(math.isfinite, (self.value, self.low, self.high))):
            return {"value": None, "ci95": None}
        interval = [round(self.low, digits), round(self.high, digits)]
        return {"value": round(self.value, digits), "ci95": interval}


class Bootstrap:
    """Draws the dialogues of an evaluation again, with replacement, the same draws for everybody.

    So differences and ratios of two methods are paired: both see the same dialogues in each draw.

    Args:
        num_dialogues: D.
        draws: how often.
        seed: of the draws.
    """

    def __init__(self, num_dialogues: int, draws: int = 10_000, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        even = np.full(num_dialogues, 1 / num_dialogues)
        self._times_drawn = rng.multinomial(num_dialogues, even, size=draws).astype(np.float32)

    def mean(self, scores: Floats) -> Estimate:
        """Mean score of all turns.

        Args:
            scores: `[D, T]`, NaN where a dialogue has fewer turns.
        """
        return self.difference(scores, np.zeros_like(scores))

    def difference(self, scores: Floats, other: Floats) -> Estimate:
        """Mean score less that of another method on the same turns, `[D, T]` each."""
        return self._ratio(np.nansum(scores - other, axis=1), (~np.isnan(scores)).sum(axis=1))

    def ratio(self, scores: Floats, other: Floats) -> Estimate:
        """Mean score as a share of another method's on the same turns, `[D, T]` each."""
        return self._ratio(np.nansum(scores, axis=1), np.nansum(other, axis=1))

    def _ratio(self, above: Floats, below: Floats) -> Estimate:
        drawn_above = self._times_drawn @ above.astype(np.float32)
        drawn_below = self._times_drawn @ below.astype(np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = drawn_above / drawn_below
            value = float(np.divide(above.sum(), below.sum()))
        if not np.isfinite(drawn).any():
            return Estimate(value, float("nan"), float("nan"))
        low, high = np.nanpercentile(drawn[np.isfinite(drawn)], [2.5, 97.5])
        return Estimate(value, float(low), float(high))
