"""Tensors that are computed once and kept in a file, mapped into memory."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor


def cached_tensor(
    path: Path, shape: tuple[int, ...], dtype: torch.dtype, fill: Callable[[Tensor], None]
) -> Tensor:
    """The tensor in `path`, filled first if the file is not there.

    The file appears under its name only when it is complete; an interrupted `fill` leaves none.

    Args:
        path: whose name identifies everything that the content depends on.
        shape, dtype: of the tensor.
        fill: writes the tensor that it is given.

    Returns:
        The tensor, mapped from the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        partial = path.with_suffix(".partial")
        fill(_map(partial, shape, dtype))
        partial.rename(path)
    return _map(path, shape, dtype)


def checkpoint_digest(model_dir: Path) -> str:
    """SHA-256 over all weights of a checkpoint: the projector's alone does not tell the rest."""
    digest = hashlib.sha256()
    for file in sorted(model_dir.glob("*.safetensors")):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _map(path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    count = torch.Size(shape).numel()
    return torch.from_file(str(path), shared=True, size=count, dtype=dtype).view(shape)
