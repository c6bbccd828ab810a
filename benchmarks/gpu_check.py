"""`make test-gpu`: all that only a GPU can show, in one go, within a budget of time.

First the kernel tests, compiled; then compute-sanitizer over small cases; then the benchmark and
the table of docs/kernels.md. A step that fails or runs out of time does not keep the next one from
running, except that nothing is timed while a test fails. Ends with status 1 unless all went well.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
BUDGET_S = 460.0
PAGE_S = 30.0

Command = list[str]
Runner = Callable[[Command, float], str]


@dataclass(frozen=True)
class Step:
    """A command, and the seconds it may take of what is left.

    Attributes:
        gate: the benchmark waits for this step to go well.
    """

    name: str
    command: Command
    longest_s: float
    gate: bool


def steps() -> list[Step]:
    pytest = [sys.executable, "-m", "pytest", "-q", "-m", "gpu"]
    sanitizer = "tests/kernels/test_sanitizer.py"
    return [
        Step("tests", [*pytest, "tests/kernels", f"--ignore={sanitizer}"], 200, True),
        Step("sanitizer", [*pytest, "-rs", sanitizer], 150, False),
    ]


def benchmark(seconds: float) -> Step:
    """The benchmark stops itself a little before it would be stopped."""
    command = [sys.executable, "-m", "benchmarks.kernels", "--budget", str(int(seconds - 30))]
    return Step("benchmark", command, seconds, False)


def run(command: Command, seconds: float) -> str:
    """`passed`, `failed` or `out of time`."""
    try:
        done = subprocess.run(command, cwd=ROOT, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return "out of time"
    return "passed" if done.returncode == 0 else "failed"


def check(budget_s: float, runner: Runner = run) -> dict[str, str]:
    """Outcome of every step by its name."""
    stop = time.monotonic() + budget_s
    outcomes: dict[str, str] = {}
    red = False
    for step in steps():
        outcomes[step.name] = runner(step.command, min(step.longest_s, stop - time.monotonic()))
        red |= step.gate and outcomes[step.name] != "passed"
    left = stop - PAGE_S - time.monotonic()
    if red:
        outcomes["benchmark"] = "not run: the tests have to pass first"
    elif left < 60:
        outcomes["benchmark"] = f"not run: {left:.0f} s left"
    else:
        outcomes["benchmark"] = runner(benchmark(left).command, left)
        page = [sys.executable, "-m", "benchmarks.kernels_page", "--measured"]
        outcomes["table"] = runner(page, PAGE_S)
    return outcomes


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--budget", type=float, default=BUDGET_S, help=f"seconds in all (default {BUDGET_S:.0f})"
    )
    args = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        sys.exit("this needs an NVIDIA GPU; `make test` runs the kernels in Triton's interpreter")
    started = time.monotonic()
    outcomes = check(args.budget)
    print(f"\n{time.monotonic() - started:.0f} s in all")
    for name, outcome in outcomes.items():
        print(f"{name}: {outcome}")
    if any(outcome != "passed" for outcome in outcomes.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
