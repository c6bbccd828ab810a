"""`make test-gpu` keeps to its time, and times nothing while a test fails."""

import sys

import pytest
import torch

from benchmarks import gpu_check


class Runner:
    """Stands in for processes: each takes some time of a clock and ends as told."""

    def __init__(self, gpu_check, monkeypatch, seconds, outcomes):
        self.clock, self.seconds, self.outcomes, self.limits = 0.0, seconds, outcomes, {}
        monkeypatch.setattr(gpu_check.time, "monotonic", lambda: self.clock)

    def __call__(self, command, limit):
        name = self.name(command)
        self.limits[name] = limit
        self.clock += min(self.seconds, limit)
        return self.outcomes.get(name, "passed")

    @staticmethod
    def name(command):
        if "pytest" not in command:
            return command[2]
        return "tests" if "tests/kernels" in command else "sanitizer"


def check(monkeypatch, seconds=50.0, outcomes=None):
    runner = Runner(gpu_check, monkeypatch, seconds, outcomes or {})
    return gpu_check.check(460.0, runner), runner


def test_everything_runs_in_order_within_the_budget(monkeypatch):
    outcomes, runner = check(monkeypatch)
    assert list(outcomes) == ["tests", "sanitizer", "benchmark", "table"]
    assert set(outcomes.values()) == {"passed"}
    assert runner.limits["benchmarks.kernels"] == 460 - 100 - 30


def test_slow_steps_leave_the_budget_whole(monkeypatch):
    outcomes, runner = check(monkeypatch, seconds=1e9)
    assert runner.clock <= 460
    assert outcomes["benchmark"] == "passed"


def test_nothing_is_timed_after_a_failed_test(monkeypatch):
    for ending in ("failed", "out of time"):
        outcomes, runner = check(monkeypatch, outcomes={"tests": ending})
        assert outcomes["benchmark"].startswith("not run")
        assert "benchmarks.kernels" not in runner.limits


def test_a_command_ends_as_it_ends():
    run = gpu_check.run
    assert run([sys.executable, "-c", ""], 60) == "passed"
    assert run([sys.executable, "-c", "raise SystemExit(3)"], 60) == "failed"
    assert run([sys.executable, "-c", "import time; time.sleep(60)"], 0.5) == "out of time"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so():
    with pytest.raises(SystemExit, match="needs an NVIDIA GPU"):
        gpu_check.main([])
