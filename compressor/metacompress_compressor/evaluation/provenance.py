"""Where a measurement comes from: versions, hardware, commit, and the code that made it."""

import hashlib
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

_PACKAGE = Path(__file__).resolve().parent.parent
_DECIDING = (
    "adapters",
    "reductions",
    "evaluation/scoring.py",
    "evaluation/generation.py",
    "evaluation/consensus.py",
    "mapping.py",
    "picture_mapping.py",
)


def versions() -> dict[str, str]:
    """Of Python and of the libraries that compute."""
    libraries = {name: version(name) for name in ("metacompress", "torch", "transformers")}
    return {"python": platform.python_version(), **libraries}


def hardware(device: torch.device) -> dict[str, Any]:
    """What it ran on."""
    if device.type == "cuda":
        return {"device": torch.cuda.get_device_name(device)}
    return {"device": _cpu_name(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}


def commit() -> str | None:
    """The checked-out commit, with `+changes` if files differ from it; None outside a checkout."""
    head = _git("rev-parse", "--short=12", "HEAD")
    if head is None:
        return None
    return head + ("+changes" if _git("status", "--porcelain", "--", str(_PACKAGE)) else "")


def code_digest() -> str:
    """Of the files that decide whether an answer is right."""
    digest = hashlib.sha256()
    for name in _DECIDING:
        path = _PACKAGE / name
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(_PACKAGE), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
