"""Checkpoints of a run: written whole or not at all, refused by a run with other settings."""

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import is_zipfile

import torch

CHECKPOINT_FILE = "checkpoint.pt"


class CheckpointMismatch(ValueError):
    """A checkpoint that this run cannot go on from. The message is one line."""


@dataclass(frozen=True)
class Checkpoint:
    """State after `step` steps, and the identity of the run that it belongs to.

    Attributes:
        step: steps done.
        mapping, optimizer: their state dicts.
        history: one record of the losses for each step done.
        run: settings and digests of model and data.
        seconds: what the steps took, over all sittings.
    """

    step: int
    mapping: dict[str, Any]
    optimizer: dict[str, Any]
    history: list[dict[str, float]]
    run: dict[str, Any]
    seconds: float = 0.0


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint.pt` in `folder`; an interruption leaves the previous one."""
    partial = folder / f"{CHECKPOINT_FILE}.partial"
    torch.save(vars(checkpoint), partial)
    partial.replace(folder / CHECKPOINT_FILE)


def load_checkpoint(folder: Path, run: dict[str, Any]) -> Checkpoint:
    """Read the checkpoint in `folder`.

    Raises:
        CheckpointMismatch: none there, an unreadable one, or one of a run that differs from `run`.
    """
    path = folder / CHECKPOINT_FILE
    if not path.exists():
        raise CheckpointMismatch(f"cannot resume: there is no {path}")
    try:
        if not is_zipfile(path):  # torch would try older formats and fail in their depths
            raise OSError("cut short, or no checkpoint")
        checkpoint = Checkpoint(**torch.load(path, weights_only=True))
    except (OSError, RuntimeError, TypeError, UnpicklingError) as error:
        raise CheckpointMismatch(f"cannot resume: {path} is not a checkpoint") from error
    for name in run.keys() | checkpoint.run.keys():
        was, now = checkpoint.run.get(name), run.get(name)
        if was != now:
            raise CheckpointMismatch(f"cannot resume: {name} was {was} in {path} and is now {now}")
    return checkpoint
