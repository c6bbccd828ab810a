"""The file of one block on disk: whole and right, or refused.

Layout: magic, BLAKE2b-128 of all that follows, length of the header (4 bytes, little endian),
header (JSON), payload. It is written beside its place and moved there, so that a crash leaves
either the old state or the new one; what bit rot or a lost page leaves behind fails the digest.
"""

import contextlib
import hashlib
import json
import os
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

_MAGIC = b"MCKVBLK1"
_DIGEST_BYTES = 16
_LENGTH = struct.Struct("<I")
_MAX_HEADER = 4096
UNFINISHED = ".part"
"""Suffix of a file that is being written."""


class BlockFileError(ValueError):
    """The file is truncated, corrupted, or another block's."""


@dataclass(frozen=True)
class BlockHeader:
    """What a restart must know of a block.

    key: hexadecimal.
    group, named, position, protected: as in `session.Session` and `session.Place`.
    size: bytes of the payload.
    """

    key: str
    group: str
    named: bool
    position: int
    protected: bool
    size: int


def write_block(path: Path, header: BlockHeader, payload: memoryview) -> None:
    """Write a block's file. Raises OSError; then nothing is left behind."""
    text = json.dumps(asdict(header)).encode()
    length = _LENGTH.pack(len(text))
    unfinished = path.with_suffix(UNFINISHED)
    try:
        with unfinished.open("wb") as file:
            file.write(_MAGIC + _digest(length, text, payload) + length + text)
            file.write(payload)
        os.replace(unfinished, path)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def read_header(path: Path) -> BlockHeader:
    """The header alone, for a restart. The payload is checked when it is read.

    Raises:
        BlockFileError: no such header, or a length of the file that does not fit it.
        OSError: not readable.
    """
    with path.open("rb") as file:
        _, _, text = _read_front(file)
        header = _parse(text)
        start = file.tell()
        if file.seek(0, os.SEEK_END) != start + header.size:
            raise BlockFileError(f"{path.name}: truncated")
    return header


def read_block(path: Path, key: str, into: memoryview) -> None:
    """Read a block's payload into memory of its size. On an error that memory is undefined.

    Raises:
        BlockFileError: truncated, corrupted, or the file of another block.
        OSError: not readable.
    """
    with path.open("rb", buffering=0) as file:
        digest, length, text = _read_front(file)
        header = _parse(text)
        if header.key != key or header.size != into.nbytes:
            raise BlockFileError(f"{path.name}: another block's file")
        done = 0
        while count := file.readinto(into[done:]):
            done += count
        if done != header.size or file.read(1):
            raise BlockFileError(f"{path.name}: truncated")
    if _digest(length, text, into) != digest:
        raise BlockFileError(f"{path.name}: corrupted")


def _read_front(file: BinaryIO) -> tuple[bytes, bytes, bytes]:
    """Digest, length field and header text."""
    front = file.read(len(_MAGIC) + _DIGEST_BYTES + _LENGTH.size)
    magic, digest, length = (
        front[: len(_MAGIC)],
        front[len(_MAGIC) : -_LENGTH.size],
        front[-_LENGTH.size :],
    )
    if magic != _MAGIC or len(digest) != _DIGEST_BYTES:
        raise BlockFileError("not the file of a block")
    size = _LENGTH.unpack(length)[0]
    text = file.read(size) if size <= _MAX_HEADER else b""
    if len(text) != size:
        raise BlockFileError("truncated header")
    return digest, length, text


def _parse(text: bytes) -> BlockHeader:
    try:
        return BlockHeader(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise BlockFileError("corrupted header") from error


def _digest(length: bytes, text: bytes, payload: memoryview) -> bytes:
    state = hashlib.blake2b(length + text, digest_size=_DIGEST_BYTES)
    state.update(payload)
    return state.digest()
