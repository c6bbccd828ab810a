"""What happens in step s, as a function of the settings and s alone, so that a run can be resumed.

Nothing here keeps state: after an interruption the same step sees the same dialogues, the same
budget and the same rate.
"""

import functools
import math
import random
from collections.abc import Sequence

_BATCHES_SORTED_TOGETHER = 8


class BatchSchedule:
    """Which dialogues, and which budget, each step trains on.

    Every epoch visits every dialogue once in a new order; a batch holds similar lengths.

    Args:
        lengths: tokens of each dialogue.
        batch_size: dialogues of a batch; the last batch of an epoch may be smaller.
        retention_ratios: budgets to draw from, one for each batch.
        seed: of all orders and draws.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        retention_ratios: Sequence[float],
        seed: int,
    ) -> None:
        self._lengths = lengths
        self._batch_size = batch_size
        self._retention_ratios = retention_ratios
        self._seed = seed
        self.steps_per_epoch = -(-len(lengths) // batch_size)
        self._epoch = functools.lru_cache(maxsize=1)(self._make_epoch)

    def indices(self, step: int) -> list[int]:
        """The dialogues of step 0, 1, ..."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return self._epoch(epoch)[place]

    def retention_ratio(self, step: int) -> float:
        return random.Random(f"{self._seed} ratio {step}").choice(self._retention_ratios)

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
