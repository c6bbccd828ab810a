"""A digest of a checkpoint's weights that does not read all of them."""

import hashlib
import json
from pathlib import Path
from typing import BinaryIO

_SAMPLE = 4096
_HEADER_LENGTH = 8
_MAX_HEADER = 1 << 28


def model_digest(folder: Path) -> str:
    """Tells checkpoints apart: names, shapes and a sample of 4 KiB from the middle of every tensor.

    Training or merging changes every tensor that it touches nearly everywhere, so one that was
    changed shows; an edit of a few single numbers may not.

    Raises:
        ValueError: a file that is no safetensors file.
        FileNotFoundError: no weights.
    """
    digest = hashlib.sha256()
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise FileNotFoundError(f"no safetensors files in {folder}")
    for path in weights:
        with path.open("rb") as file:
            _add_tensors(file, digest, path.name)
    return digest.hexdigest()


def _add_tensors(file: BinaryIO, digest: "hashlib._Hash", name: str) -> None:
    length = int.from_bytes(file.read(_HEADER_LENGTH), "little")
    header = file.read(length) if length < _MAX_HEADER else b""
    if len(header) != length or not header.startswith(b"{"):
        raise ValueError(f"{name} is no safetensors file")
    digest.update(header)
    start = _HEADER_LENGTH + length
    for tensor, about in sorted(json.loads(header).items()):
        if tensor == "__metadata__":
            continue
        first, end = about["data_offsets"]
        file.seek(start + first + max(0, (end - first - _SAMPLE) // 2))
        digest.update(file.read(min(_SAMPLE, end - first)))
