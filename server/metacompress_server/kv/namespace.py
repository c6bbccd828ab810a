"""The folder of one configuration: what another model, compressor or layout wrote is never read."""

import fcntl
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from .block_file import UNFINISHED

_DESCRIPTION = "namespace.json"
_LOCK = "lock"
BLOCKS = "blocks"


class NamespaceInUse(RuntimeError):
    """Another running server keeps its sessions there."""


class Namespace:
    """A locked folder under `root` whose name is a digest of `fields`.

    Args:
        root: for all configurations.
        fields: everything on which the bytes of a block depend.

    Raises:
        NamespaceInUse: a live process holds the lock. It is released when the process ends, however
            it ends.
        OSError: no folder can be made there.
    """

    def __init__(self, root: Path, fields: Mapping[str, str | int]) -> None:
        text = json.dumps(dict(fields), sort_keys=True, indent=1)
        self.folder = root / hashlib.sha256(text.encode()).hexdigest()[:24]
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = _lock(self.folder)
        if lock is None:
            raise NamespaceInUse(
                f"{self.folder} belongs to a running server; give each its own --state-dir"
            )
        self._lock: IO[bytes] = lock
        (self.folder / _DESCRIPTION).write_text(text + "\n", encoding="utf-8")
        self.blocks = self.folder / BLOCKS
        self.blocks.mkdir(exist_ok=True)

    def close(self) -> None:
        """Give the lock back."""
        self._lock.close()


def discard_stale(root: Path, keep: Path, ttl_s: float) -> int:
    """Remove what other configurations left under `root` and nobody used for the time to live.

    Folders of running servers are locked and left alone.

    Returns:
        How many files were removed.
    """
    removed = 0
    for folder in root.iterdir():
        if folder == keep or not (folder / _DESCRIPTION).is_file():
            continue
        lock = _lock(folder)
        if lock is None:
            continue
        with lock:
            for path in (folder / BLOCKS).glob("*/*"):
                stale = path.stat().st_mtime < time.time() - ttl_s
                if stale or path.suffix == UNFINISHED:
                    path.unlink()
                    removed += 1
    return removed


def _lock(folder: Path) -> IO[bytes] | None:
    """The folder's lock; None where another process has it."""
    file = (folder / _LOCK).open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
