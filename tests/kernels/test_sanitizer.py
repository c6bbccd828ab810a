"""NVIDIA's compute-sanitizer over one small case of every kernel variant."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = (
    "test_matches_fp64[2-35-6-24-16-False]",
    "test_matches_fp64[2-35-6-24-16-True]",
    "test_half_precision[dtype1-True]",
    "test_windows_in_1d_and_2d[True]",
    "test_ragged_equals_one_by_one[True-True]",
    "test_budgets_of_their_own_in_one_launch[competing-1d]",
    "test_projection_alone_and_in_a_crowd[35-7-1e-05-True]",
    "test_projection_matches_fp64[dtype1-2-35-70-24-1e-05]",
)
"""One small case of every variant: dense, packed, both forms, windows, pictures without
outputs, split projection or not."""


def test_the_small_cases_exist():
    """A renamed test would silently leave its variant unchecked."""
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/kernels/test_triton.py"],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert [name for name in SMALL if f"::{name}\n" not in found] == []


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("tool", ["memcheck", "racecheck"])
def test_no_bad_access_and_no_race(tool):
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        pytest.skip("compute-sanitizer is not on the path: it comes with the CUDA toolkit")
    run = subprocess.run(
        [
            *(sanitizer, "--tool", tool, "--error-exitcode", "99", "--target-processes", "all"),
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *(f"tests/kernels/test_triton.py::{name}" for name in SMALL),
        ],
        cwd=ROOT,
        # Freed blocks go back to CUDA, so that a read behind one is seen.
        env={**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-10_000:] + run.stderr[-2_000:]
    assert f"{len(SMALL)} passed" in run.stdout
