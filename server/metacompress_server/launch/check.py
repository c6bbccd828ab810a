"""`metacompress check`: whether `metacompress serve` with the same words would start, and fit."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from metacompress_server.capacity.gpus import GIB
from metacompress_server.capacity.memory import CapacityError, gib, size_of, weight_bytes

from .checkpoint import CheckpointMissing, local_folder
from .launcher import LaunchError, Preparation, check_port, on_cpu, prepare

_DEFAULT_SHARE = 0.9


def check(model: str | None, given: dict[str, Any], passed: Sequence[str]) -> int:
    """Print what would be served and everything that stands against it; nothing is started.

    Args:
        model, given, passed: as `launch`.

    Returns:
        Exit status: 0 where nothing stands against it, else 2.
    """
    try:
        start = prepare(model, given, passed)
    except LaunchError as error:
        print(f"metacompress check: {error}", file=sys.stderr)
        return 2
    for line in start.lines:
        print(line)
    problems = list(_problems(start))
    for problem in problems:
        print(f"metacompress check: {problem}", file=sys.stderr)
    if not problems:
        print("everything fits")
    return 2 if problems else 0


def _problems(start: Preparation) -> Iterator[str]:
    try:
        check_port(start.flags)
    except LaunchError as error:
        yield str(error)
    folder = start.settings.state_dir
    if folder is not None and not _writable(folder):
        yield f"--state-dir {folder} is not a folder that can be written"
    try:
        weights = weight_bytes(local_folder(start.target.model, start.target.revision))
        yield from _memory(start, weights)
    except (CapacityError, CheckpointMissing, LaunchError) as error:
        yield str(error)


def _memory(start: Preparation, weights: int) -> Iterator[str]:
    """The engine's memory, then the host's."""
    settings, host = start.settings, 0
    if on_cpu():
        host += weights + size_of(start.flags.setting("kv-cache-memory-bytes"))
        print(f"memory      {gib(weights)} of weights, on the CPU")
    else:
        yield from _gpu(start, weights)
    host += int((settings.encoder_cache_gib + (settings.session_kv_gib or 0)) * GIB)
    free = psutil.virtual_memory().available
    print(f"host        {gib(host)} wanted, {gib(free)} free")
    if host > free:
        yield f"{gib(host)} of host memory are wanted, {gib(free)} are free"


def _gpu(start: Preparation, weights: int) -> Iterator[str]:
    import torch

    wanted = int(start.flags.setting("tensor-parallel-size") or 1)
    wanted *= int(start.flags.setting("pipeline-parallel-size") or 1)
    if torch.cuda.device_count() < wanted:
        yield f"{wanted} GPUs are wanted, {torch.cuda.device_count()} are there"
        return
    share = float(start.flags.setting("gpu-memory-utilization") or _DEFAULT_SHARE)
    free, total = torch.cuda.mem_get_info()
    allowed = int(share * total)
    print(f"memory      {gib(weights)} of weights on {wanted} GPUs, {gib(total)} each")
    if free < allowed:
        yield f"{gib(allowed)} of the GPU are to be used, {gib(free)} are free"
    if weights / wanted > allowed:
        yield f"{gib(weights)} of weights do not fit into {wanted} x {gib(allowed)}"


def _writable(folder: Path) -> bool:
    """The folder, or the nearest one above it where it is not made yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)
