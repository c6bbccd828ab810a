"""What an artifact tells of the run that made it: settings, data, versions, hardware, time."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from metacompress_compressor.adapters import Adapter
from metacompress_compressor.artifact import CompressorConfig
from metacompress_compressor.mapping import TokenMapping

from .dialogues import DialogueSet
from .loop import Trainer
from .settings import TrainJob
from .team import Team

_PACKAGES = ("metacompress", "torch", "transformers", "accelerate", "numpy")


def run_identity(job: TrainJob, adapter: Adapter, digest: str) -> dict[str, Any]:
    """What a checkpoint must share with the run that goes on from it."""
    fingerprint = adapter.base_model_info().fingerprint
    return {**job.settings.record(), "model": fingerprint, "data": digest}


def describe_run(
    job: TrainJob,
    adapter: Adapter,
    mapping: TokenMapping,
    data: DialogueSet,
    digest: str,
    trainer: Trainer,
    team: Team,
) -> CompressorConfig:
    """The artifact's configuration, without an evaluation."""
    settings = job.settings
    return CompressorConfig.describe(
        mapping,
        positions=settings.positions,
        retention_ratio=settings.retention_ratios[0],
        trained_retention_ratios=tuple(sorted(settings.measured_ratios)),
        trained_retention_range=settings.retention_range,
        base_model=adapter.base_model_info(),
        data_digest=digest,
        training={
            **settings.record(),
            "last_step": trainer.history[-1],
            "train_seconds": round(trainer.seconds, 1),
            "data": {
                "dialogues": len(data.dialogues),
                "turns": sum(len(dialogue.turns) for dialogue in data.dialogues),
                "pictures": len(data.images),
                "unusable": len(data.problems),
            },
            "versions": {
                "python": sys.version.split()[0],
                **{name: version(name) for name in _PACKAGES},
            },
            "hardware": hardware(team),
        },
    )


def hardware(team: Team) -> dict[str, Any]:
    """The machine of this process, and how many processes trained together."""
    record: dict[str, Any] = {
        "cpu": _cpu_name(),
        "cpu_cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "threads": torch.get_num_threads(),
        "device": team.device.type,
        "processes": team.size,
    }
    if team.device.type == "cuda":
        record["gpu"] = torch.cuda.get_device_name(team.device)
    return record


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
