"""What ties an artifact to a checkpoint: a digest of the projector whose outputs it compresses.

Reads safetensors headers and the projector's bytes only, without torch, so that a 15 GB checkpoint
takes as long as its projector.
"""

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROJECTOR = "multi_modal_projector."
_NEWLINE = "image_newline"  # LLaVA-NeXT's token at the end of a row stands among the projector's
_LONGEST_HEADER = 100_000_000  # the safetensors format's own limit


class CheckpointError(ValueError):
    """A model folder without a readable projector. The message is one line naming the path."""


@dataclass(frozen=True)
class StoredTensor:
    """One tensor in a safetensors file, not loaded."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    stop: int

    def read(self) -> bytes:
        with self.file.open("rb") as file:
            file.seek(self.start)
            return file.read(self.stop - self.start)


def model_fingerprint(model_dir: Path | str) -> str:
    """SHA-256 over the projector's tensors: name in the projector, type, shape and bytes of each.

    LLaVA-NeXT's newline token counts among them.

    The same for one file or several shards and for the key spellings of Hugging Face and vLLM.

    Raises:
        CheckpointError: no safetensors file, a broken one, or no projector in them.
    """
    digest = hashlib.sha256()
    for tensor in projector_tensors(model_dir):
        label = json.dumps([tensor.name, tensor.dtype, tensor.shape])
        digest.update(label.encode() + b"\n")
        digest.update(tensor.read())
    return digest.hexdigest()


def projector_tensors(model_dir: Path | str) -> list[StoredTensor]:
    """The projector's tensors in the order of their names. Raises as `model_fingerprint`."""
    folder = Path(model_dir)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise CheckpointError(f"no *.safetensors file in model folder {folder}")
    found = [tensor for file in files for tensor in _projector_tensors_of(file)]
    if not found:
        raise CheckpointError(f"no tensor named *{_PROJECTOR}* in model folder {folder}")
    return sorted(found, key=lambda tensor: tensor.name)


def _projector_tensors_of(file: Path) -> Iterator[StoredTensor]:
    header, data_start = _read_header(file)
    for key, entry in header.items():
        if _PROJECTOR in key:
            name = key.rsplit(_PROJECTOR, 1)[1]
        elif key.rsplit(".", 1)[-1] == _NEWLINE:
            name = _NEWLINE
        else:
            continue
        start, stop = entry["data_offsets"]
        yield StoredTensor(
            name,
            entry["dtype"],
            tuple(entry["shape"]),
            file,
            data_start + start,
            data_start + stop,
        )


def _read_header(file: Path) -> tuple[dict[str, Any], int]:
    with file.open("rb") as stream:
        prefix = stream.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 2 <= length <= _LONGEST_HEADER:
            raise CheckpointError(f"{file} is not a safetensors file")
        try:
            header = json.loads(stream.read(length))
        except ValueError as error:
            raise CheckpointError(f"{file} has a broken safetensors header") from error
    return header, 8 + length
