"""What the tests of deploy/ share: where it is, and the tools of the development set."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"

sys.path.insert(0, str(DEPLOY / "grafana"))

Tool = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def deploy() -> Path:
    return DEPLOY


@pytest.fixture(scope="session")
def tool() -> Tool:
    """Runs a program that was installed beside this Python, in the repository's root."""

    def run(
        name: str, *words: str | Path, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name(name)
        assert program.is_file(), f"{name} is not installed: make dev"
        command = [program, *words]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, env=env
        )

    return run
