"""How long parts of a step take, on whatever device, without making anything wait."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_REMEMBERED = 4096


class Stopwatch:
    """Seconds of named parts, until somebody takes them.

    A GPU works later than it is told to, so there the device itself notes when a part begins and
    ends (CUDA events), and only what is finished is given out.

    Args:
        device: that does the work.
    """

    def __init__(self, device: torch.device | str) -> None:
        self._on_gpu = torch.device(device).type == "cuda"
        self._running: deque[tuple[str, Any, Any]] = deque(maxlen=_REMEMBERED)
        self._seconds: deque[tuple[str, float]] = deque(maxlen=_REMEMBERED)

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Time what is inside; nothing is noted where it fails."""
        if self._on_gpu:
            begin, end = (_event() for _ in range(2))
            begin.record()
            yield
            end.record()
            self._running.append((part, begin, end))
        else:
            begun = time.perf_counter()
            yield
            self._seconds.append((part, time.perf_counter() - begun))

    def take(self) -> dict[str, list[float]]:
        """Seconds of each part that came to its end since the last call."""
        while self._running and self._running[0][2].query():
            part, begin, end = self._running.popleft()
            self._seconds.append((part, begin.elapsed_time(end) / 1000.0))
        taken: dict[str, list[float]] = {}
        while self._seconds:
            part, seconds = self._seconds.popleft()
            taken.setdefault(part, []).append(seconds)
        return taken


def _event() -> Any:
    """torch leaves the methods of its events untyped."""
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
