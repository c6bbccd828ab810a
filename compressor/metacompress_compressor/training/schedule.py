"""What happens in step s, as a function of the settings and s alone, so that a run can be resumed.

Nothing here keeps state: after an interruption the same step sees the same dialogues, the same
budgets, the same rate and the same weights of the loss.
"""

import functools
import math
import random
from collections.abc import Sequence
from typing import Protocol

from .settings import TrainSettings

_BATCHES_SORTED_TOGETHER = 8


class Schedule(Protocol):
    """Which dialogues, and which budgets, each step trains on."""

    def indices(self, step: int) -> list[int]:
        """The dialogues of step 0, 1, ..."""

    def retention_ratios(self, step: int) -> list[float]:
        """The budget of each of them."""


class BatchSchedule:
    """The schedule of a run.

    Every epoch visits every dialogue once in a new order; a batch holds similar lengths.

    Args:
        lengths: tokens of each dialogue.
        settings: batch size (the last batch of an epoch may be smaller), budgets to draw from, and
            the seed of all orders and draws.
    """

    def __init__(self, lengths: Sequence[int], settings: TrainSettings) -> None:
        self._lengths = lengths
        self._settings = settings
        self._batch_size = settings.batch_size
        self._seed = settings.seed
        self.steps_per_epoch = -(-len(lengths) // settings.batch_size)
        self._epoch = functools.lru_cache(maxsize=1)(self._make_epoch)

    def indices(self, step: int) -> list[int]:
        """The dialogues of step 0, 1, ..."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return self._epoch(epoch)[place]

    def retention_ratios(self, step: int) -> list[float]:
        rng = random.Random(f"{self._seed} ratio {step}")
        count = len(self.indices(step))
        if self._settings.budgets_per == "batch":
            return [self._draw(rng)] * count
        return [self._draw(rng) for _ in range(count)]

    def _draw(self, rng: random.Random) -> float:
        """One of the ratios; where there is a range, as often a number out of that."""
        choices: list[float | tuple[float, float]] = [*self._settings.retention_ratios]
        if self._settings.retention_range is not None:
            choices.append(self._settings.retention_range)
        chosen = rng.choice(choices)
        if not isinstance(chosen, tuple):
            return chosen
        low, high = map(math.log, chosen)
        return math.exp(rng.uniform(low, high))

    def _make_epoch(self, epoch: int) -> list[list[int]]:
        rng = random.Random(f"{self._seed} epoch {epoch}")
        order = list(range(len(self._lengths)))
        rng.shuffle(order)
        chunk = self._batch_size * _BATCHES_SORTED_TOGETHER
        batches = []
        for start in range(0, len(order), chunk):
            similar = sorted(order[start : start + chunk], key=self._lengths.__getitem__)
            batches += [
                similar[first : first + self._batch_size]
                for first in range(0, len(similar), self._batch_size)
            ]
        rng.shuffle(batches)
        return batches


def rate_factor(step: int, steps: int, warmup_share: float) -> float:
    """Linear warm-up, then half a cosine down to zero at the end of `steps`."""
    warmup = max(1, round(warmup_share * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def ramp_factor(step: int, steps: int, ramp: tuple[float, float]) -> float:
    """0 up to the share `ramp[0]` of the steps, then linear, 1 from the share `ramp[1]` on."""
    start, full = ramp
    done = step / steps
    if done >= full:
        return 1.0
    return (done - start) / (full - start) if done > start else 0.0
