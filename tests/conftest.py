"""Shared by all tests: quiet CPU threads, asyncio for anyio tests, no GPU tests without a GPU."""

import os

import pytest

# Before torch is imported: two spinning OpenMP pools on a small machine slow a test run tenfold.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu_items or _has_gpu():
        return
    items[:] = [item for item in items if item not in gpu_items]
    config.hook.pytest_deselected(items=gpu_items)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
