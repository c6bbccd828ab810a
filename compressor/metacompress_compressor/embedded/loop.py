"""Runs one stage: AdamW, warm-up and cosine decay, checkpoints, exact resumption, a JSON log."""

from __future__ import annotations

import json
import math
import random
import time
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .stages import Stage, Student

_CHECKPOINT_EVERY = 100
_LOG_EVERY = 20
_WARMUP_SHARE = 0.05
_GRADIENT_NORM = 1.0


def _learning_rate_factor(step: int, steps: int) -> float:
    warmup = max(1, int(_WARMUP_SHARE * steps))
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))


def _step_rng(stage: Stage, seed: int, step: int) -> random.Random:
    """Chance of one step, the same whether the run was interrupted or not."""
    rng = random.Random(f"{stage.name}/{seed}/{step}")
    torch.manual_seed(rng.getrandbits(63))
    return rng


def _save(path: Path, student: Student, optimizer: torch.optim.Optimizer, step: int) -> None:
    state = {"student": student.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def run_stage(stage: Stage, student: Student, folder: Path, seed: int) -> None:
    """Trains a stage to its end, from its last checkpoint if there is one.

    Args:
        stage: The stage.
        student: What it trains; holds the final weights afterwards.
        folder: Where `<stage>.pt` and `<stage>.jsonl` are written.
        seed: Seed of all data and noise.
    """
    path = folder / f"{stage.name}.pt"
    optimizer = torch.optim.AdamW(stage.parameters(), lr=stage.learning_rate, betas=(0.9, 0.98))
    first = 0
    if path.exists():
        state = torch.load(path, weights_only=True)
        student.load_state_dict(state["student"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress, (folder / f"{stage.name}.jsonl").open("a") as log:
        task = progress.add_task(stage.name, total=stage.steps, completed=first)
        started = time.perf_counter()
        for step in range(first, stage.steps):
            factor = _learning_rate_factor(step, stage.steps)
            for group in optimizer.param_groups:
                group["lr"] = factor * stage.learning_rate
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss, metrics = stage.loss(_step_rng(stage, seed, step))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(list(stage.parameters()), _GRADIENT_NORM)
            optimizer.step()
            progress.update(
                task, completed=step + 1, description=f"{stage.name} loss {loss.item():.3f}"
            )
            if step % _LOG_EVERY == 0:
                seconds = round(time.perf_counter() - started, 1)
                record = {"step": step, "loss": loss.item(), "seconds": seconds, **metrics}
                print(json.dumps(record), file=log, flush=True)
            if (step + 1) % _CHECKPOINT_EVERY == 0 or step + 1 == stage.steps:
                _save(path, student, optimizer, step + 1)
