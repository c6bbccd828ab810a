import time

import pytest
import torch

from metacompress_server.engine.stopwatch import Stopwatch


def test_parts_are_timed_apart_and_given_out_once() -> None:
    stopwatch = Stopwatch("cpu")
    for _ in range(2):
        with stopwatch.measure("encode"):
            time.sleep(0.01)
    with stopwatch.measure("compress"):
        pass
    taken = stopwatch.take()
    assert [len(taken[part]) for part in ("encode", "compress")] == [2, 1]
    assert all(0.01 <= seconds < 5 for seconds in taken["encode"])
    assert 0 <= taken["compress"][0] < taken["encode"][0]
    assert stopwatch.take() == {}


def test_what_fails_is_not_timed() -> None:
    stopwatch = Stopwatch("cpu")
    with pytest.raises(ValueError, match="broken"), stopwatch.measure("encode"):
        raise ValueError("broken")
    assert stopwatch.take() == {}


def test_memory_is_bounded() -> None:
    stopwatch = Stopwatch("cpu")
    for _ in range(5000):
        with stopwatch.measure("encode"):
            pass
    assert len(stopwatch.take()["encode"]) == 4096


@pytest.mark.gpu
def test_a_gpu_notes_its_own_time_and_nobody_waits() -> None:
    stopwatch = Stopwatch("cuda")
    matrix = torch.randn(4096, 4096, device="cuda")
    begun = time.perf_counter()
    with stopwatch.measure("encode"):
        for _ in range(50):
            matrix = matrix @ matrix
    launched = time.perf_counter() - begun
    torch.cuda.synchronize()
    (seconds,) = stopwatch.take()["encode"]
    assert launched < seconds < 60
