"""What a reduction itself costs, beside the vision tower that runs before it."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from metacompress_compressor.adapters import Adapter
from metacompress_compressor.reductions import (
    Budget,
    FastV,
    PictureBatch,
    Reduction,
    SmallerPicture,
)

from .scoring import Trial

_REPEATS = 15
_WARM_UP = 2


@dataclass(frozen=True)
class Cost:
    """Of one picture, as shares of the vision tower and projector on that picture.

    Attributes:
        flops: operations of matrix products; comparisons, sorting and softmax are not counted.
        flops_share, time_share: the tower's are 1.
        instead_of_tower: it takes the tower's place and does not come on top.
    """

    flops: int
    flops_share: float
    time_share: float
    instead_of_tower: bool

    def record(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "flops": self.flops,
            "flops_share_of_tower": round(self.flops_share, 5),
            "time_share_of_tower": round(self.time_share, 4),
            "instead_of_tower": self.instead_of_tower,
        }


class CostMeter:
    """Measures reductions on one picture, as a server would run them.

    Time is the process's own on a CPU, so that other programs do not count, and wall time on a GPU;
    medians of alternating runs. What the tower computes anyway, its queries and keys, is not
    charged to the methods that use it.

    Args:
        adapter: the model.
        picture: any picture.
    """

    def __init__(self, adapter: Adapter, picture: Image.Image) -> None:
        self._adapter = adapter
        self._run_tower: Callable[[], object] = lambda: adapter.visual_tokens([picture])
        self._pictures = PictureBatch(
            adapter.visual_tokens([picture]).float(),
            adapter.layout(picture.size),
            adapter,
            lambda: [picture],
        )
        self.tower_flops = _flops(self._run_tower)

    def measure(self, trial: Trial) -> Cost | None:
        """Cost of a trial's reduction; None for FastV, whose cost is the language model's."""
        method = trial.method
        if isinstance(method, FastV):
            return None
        run = self._runner(
            method, Budget(self._pictures.layout, trial.retention_ratio, trial.windows)
        )
        flops = _flops(run)
        return Cost(
            flops=flops,
            flops_share=flops / self.tower_flops,
            time_share=self._time_share(run),
            instead_of_tower=isinstance(method, SmallerPicture),
        )

    def _runner(self, method: Reduction, budget: Budget) -> Callable[[], object]:
        method(self._pictures, budget)  # the tower's attention, if the method asks for it
        return lambda: method(self._pictures, budget)

    def _time_share(self, run: Callable[[], object]) -> float:
        pairs = [(self._seconds(run), self._seconds(self._run_tower)) for _ in range(_REPEATS)]
        of_run, of_tower = zip(*pairs[_WARM_UP:], strict=True)
        share: float = statistics.median(of_run) / statistics.median(of_tower)
        return share

    @torch.no_grad()
    def _seconds(self, run: Callable[[], object]) -> float:
        if self._adapter.device.type == "cpu":
            start = time.process_time()
            run()
            return time.process_time() - start
        torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        return time.perf_counter() - start


@torch.no_grad()
def _flops(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())
