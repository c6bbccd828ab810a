import time

import pytest
import torch

from metacompress_server.engine.stopwatch import Stopwatch


def test_parts_are_timed_apart_and_given_out_once() -> None:
    stopwatch = Stopwatch("cpu")
    before = time.time()
    for pictures in (1, 3):
        with stopwatch.measure("encode", pictures):
            time.sleep(0.01)
    with stopwatch.measure("compress", 4):
        pass
    taken = stopwatch.take()
    assert [(part, pictures) for part, _, _, pictures in taken] == [
        ("encode", 1),
        ("encode", 3),
        ("compress", 4),
    ]
    starts = [start for _, start, _, _ in taken]
    assert before <= starts[0] < starts[1] < starts[2] <= time.time()
    seconds = [one for _, _, one, _ in taken]
    assert all(0.01 <= one < 5 for one in seconds[:2])
    assert 0 <= seconds[2] < seconds[0]
    assert stopwatch.take() == []


def test_what_fails_is_not_timed() -> None:
    stopwatch = Stopwatch("cpu")
    with pytest.raises(ValueError, match="broken"), stopwatch.measure("encode", 1):
        raise ValueError("broken")
    assert stopwatch.take() == []


def test_memory_is_bounded() -> None:
    stopwatch = Stopwatch("cpu")
    for _ in range(5000):
        with stopwatch.measure("encode", 1):
            pass
    assert len(stopwatch.take()) == 4096


@pytest.mark.gpu
def test_a_gpu_notes_its_own_time_and_nobody_waits() -> None:
    stopwatch = Stopwatch("cuda")
    matrix = torch.randn(4096, 4096, device="cuda")
    begun = time.perf_counter()
    with stopwatch.measure("encode", 1):
        for _ in range(50):
            matrix = matrix @ matrix
    launched = time.perf_counter() - begun
    torch.cuda.synchronize()
    ((_, _, seconds, _),) = stopwatch.take()
    assert launched < seconds < 60
