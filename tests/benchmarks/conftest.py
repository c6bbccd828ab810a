"""Benchmarks are scripts that import each other by name; here they are modules of a test."""

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """Imports a script of benchmarks/ as Python would run it, and forgets it afterwards.

    Its folder may not stay on the path: transformers would take `kernels.py` for a package.
    """
    known = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module
    for name in set(sys.modules) - known:
        if (FOLDER / f"{name}.py").exists():
            del sys.modules[name]
