"""The kernel benchmark: its gate, its clock and its records, without a GPU."""

from types import SimpleNamespace

import pytest
import torch

from benchmarks import kernel_cases as cases
from benchmarks import kernel_timing as timing
from benchmarks import kernels
from benchmarks.records import read

METRICS = {"time_s", "bytes_per_s", "share_of_copy", "flop_per_s", "copy_bytes_per_s"}


def arguments(path, *more):
    return [
        *("--device", "cpu", "--shape", "smoke", "--seconds", "0.001"),
        *("--output", str(path), *more),
    ]


def test_a_run_on_the_cpu_leaves_a_record_of_everything(tmp_path):
    kernels.main(arguments(tmp_path / "lines"))
    found = read(tmp_path / "lines")
    names = ("method", "form", "batch", "work")
    timed = {tuple(record.cell[name] for name in names) for record in found}
    for batch in (1, 3):
        for method in ("metacompress", "metacompress packed", "eager"):
            for form in ("row_softmax", "competing"):
                assert (method, form, batch, "forward") in timed
        assert ("sdpa", "row_softmax", batch, "forward") in timed
        assert ("average pooling", "row_softmax", batch, "forward") in timed
    assert ("metacompress", "row_softmax", 3, "forward+backward") in timed
    for record in found:
        assert record.benchmark == "kernels"
        assert record.cell["dtype"] == "float32"
        assert record.metrics.keys() >= METRICS
        assert record.metrics["time_s"].keys() == {"p20", "p50", "p80"}
        assert record.metrics.get("relative_error", 0) < 1e-5


@pytest.mark.parametrize("wrong", [1.001, float("nan")])
@pytest.mark.parametrize("operation", ["ours", "packed"])
def test_nothing_is_timed_while_the_operation_is_wrong(tmp_path, monkeypatch, operation, wrong):
    right = getattr(kernels, operation)
    monkeypatch.setattr(kernels, operation, lambda case: right(case) * wrong)
    with pytest.raises(SystemExit, match="wrong, so nothing is timed: smoke, batch 1, row_softmax"):
        kernels.main(arguments(tmp_path / "lines"))
    assert not (tmp_path / "lines").exists()


def test_a_wrong_rival_gets_no_figure(tmp_path, monkeypatch):
    right = cases.sdpa
    monkeypatch.setattr(cases, "sdpa", lambda case: right(case) + 1)
    kernels.main(arguments(tmp_path / "lines"))
    wrong = [r for r in read(tmp_path / "lines") if r.cell["method"] == "sdpa"]
    assert wrong
    for record in wrong:
        assert record.cell["refused"] == "wrong result"
        assert record.metrics.keys() == {"time_s", "copy_bytes_per_s"}
        assert record.metrics["time_s"] is None


def test_no_time_means_no_figures(tmp_path):
    with pytest.raises(SystemExit, match="nothing could be timed"):
        kernels.main(arguments(tmp_path / "lines", "--budget", "0"))
    found = read(tmp_path / "lines")
    assert found
    for record in found:
        assert record.cell["refused"] == "out of time"
        assert record.metrics["time_s"] is None


def test_memory_that_runs_out_is_recorded(tmp_path, monkeypatch):

    def too_large(case):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(cases, "eager", too_large)
    monkeypatch.setattr(kernels, "measure_training", lambda *_: ())
    kernels.main(arguments(tmp_path / "lines"))
    refused = [r for r in read(tmp_path / "lines") if r.cell["method"] == "eager"]
    assert {record.cell["refused"] for record in refused} == {"out of memory"}


def test_the_gate_sees_half_precision():
    """In bf16, as on a GPU, nothing is so imprecise that the gate would refuse it."""
    shape = cases.Shape("llava-1.5", cases.Grid(24, 24), 512, (1,))
    for competing in (False, True):
        case = cases.make_case(shape, 1, competing, torch.bfloat16, torch.device("cpu"))
        for name, method in cases.methods(torch.device("cpu"), competing).items():
            truth = cases.exact_pooling(case) if "pooling" in name else cases.exact(case)
            assert cases.relative_error(method(case), truth) < 2e-2
    assert kernels.LARGEST_ERROR[torch.bfloat16] == 5e-3


class FakeEvent:
    """A CUDA event on a clock that `FakeCuda` moves."""

    clock = 0.0

    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        self.at = FakeEvent.clock

    def elapsed_time(self, other):
        return (other.at - self.at) * 1e3


def test_the_clock_of_a_gpu_counts_the_call_alone(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append(1))
    timer = timing.Timer(torch.device("cpu"), 0.0)
    timer._device = SimpleNamespace(type="cuda")

    def call():
        FakeEvent.clock += 0.25

    assert timer(call) == {"p20": 0.25, "p50": 0.25, "p80": 0.25}
    assert len(waited) == 10


def test_the_needed_bytes_and_operations():
    case = cases.make_case(cases.SMOKE, 3, False, torch.float32, torch.device("cpu"))
    n, m, d, c = 42, 4, 64, 128
    assert case.shape.compressed.num_tokens == m
    assert case.needed_bytes == 4 * 3 * (2 * n * d + m * d)
    assert case.needed_operations == 3 * (2 * n * d * 2 * c + 2 * m * n * c + 2 * m * n * d)
