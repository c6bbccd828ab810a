"""NVIDIA's compute-sanitizer over one small case of every kernel variant."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VARIANTS = (
    "(test_matches_fp64 and 2-35) or test_ragged or test_windows or (test_projection and 2-35)"
)


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
            *("tests/kernels/test_triton.py", "-k", VARIANTS),
        ],
        cwd=ROOT,
        # Freed blocks go back to CUDA, so that a read behind one is seen.
        env={**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-10_000:] + run.stderr[-2_000:]
    assert " passed" in run.stdout
