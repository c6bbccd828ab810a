"""How long parts of a step take, on whatever device, without making anything wait."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from metacompress_server.pictures.traced_batches import Batch

_REMEMBERED = 4096


class Stopwatch:
    """When and how long named parts ran, until somebody takes them.

    A GPU works later than it is told to, so there the device itself notes when a part begins and
    ends (CUDA events), and only what is finished is given out.

    Args:
        device: that does the work.
    """

    def __init__(self, device: torch.device | str) -> None:
        self._on_gpu = torch.device(device).type == "cuda"
        self._running: deque[tuple[str, float, int, Any, Any]] = deque(maxlen=_REMEMBERED)
        self._batches: deque[Batch] = deque(maxlen=_REMEMBERED)

    @contextmanager
    def measure(self, part: str, pictures: int) -> Iterator[None]:
        """Time what is inside, a batch of so many pictures; nothing is noted where it fails."""
        started = time.time()
        if self._on_gpu:
            begin, end = (_event() for _ in range(2))
            begin.record()
            yield
            end.record()
            self._running.append((part, started, pictures, begin, end))
        else:
            begun = time.perf_counter()
            yield
            self._batches.append((part, started, time.perf_counter() - begun, pictures))

    def take(self) -> list[Batch]:
        """Every part that came to its end since the last call, in order.

        On a GPU the start is when the device was told, the seconds are its own.
        """
        while self._running and self._running[0][-1].query():
            part, started, pictures, begin, end = self._running.popleft()
            self._batches.append((part, started, begin.elapsed_time(end) / 1000.0, pictures))
        taken = list(self._batches)
        self._batches.clear()
        return taken


def _event() -> Any:
    """torch leaves the methods of its events untyped."""
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
