"""Times calls on a device with cold caches, from Python or replayed as a CUDA graph."""

import time
from collections.abc import Callable

import torch

FLUSH_BYTES = 256 * 2**20
COPY_BYTES = 2**30

Call = Callable[[], object]


class NotCapturable(Exception):
    """A call that no CUDA graph can hold, with CUDA's reason."""


class Timer:
    """Seconds of a call, as quantiles over repetitions. The L2 cache is emptied before each.

    Args:
        device: where the call works.
        budget_s: how long to repeat it; at least 10 times, at most 200.
    """

    def __init__(self, device: torch.device, budget_s: float) -> None:
        self._device = device
        self._budget_s = budget_s
        size = FLUSH_BYTES if device.type == "cuda" else 1
        self._flush = torch.empty(size, dtype=torch.uint8, device=device)

    def __call__(self, call: Call) -> dict[str, float]:
        for _ in range(3):
            call()
        seconds: list[float] = []
        stop = time.perf_counter() + self._budget_s
        while len(seconds) < 10 or (time.perf_counter() < stop and len(seconds) < 200):
            self._flush.zero_()
            seconds.append(self._once(call))
        seconds.sort()
        return {f"p{p}": seconds[len(seconds) * p // 100] for p in (20, 50, 80)}

    def _once(self, call: Call) -> float:
        if self._device.type != "cuda":
            start = time.perf_counter()
            call()
            return time.perf_counter() - start
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        call()
        after.record()
        torch.cuda.synchronize()
        return before.elapsed_time(after) / 1e3


def captured(call: Call) -> Call:
    """The call's launches as a CUDA graph: what the GPU needs when Python does not hold it up.

    Raises:
        NotCapturable: the call reads a value back or is not capturable for another reason.
        torch.OutOfMemoryError: no room for the graph's own memory.
    """
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            call()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise NotCapturable(f"not capturable: {str(error).splitlines()[0]}") from error
    return graph.replay


def copy_rate(timer: Timer, device: torch.device) -> float:
    """Bytes per second of a large copy, read and written."""
    size = COPY_BYTES if device.type == "cuda" else COPY_BYTES // 64
    source = torch.zeros(size // 4, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    return 2 * size / timer(lambda: target.copy_(source))["p50"]
