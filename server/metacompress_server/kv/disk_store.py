"""Blocks of sessions on disk, under a budget, found again after a crash.

All methods belong to one thread; reading, writing and removing files happens in two others, one for
each direction, so that a read never waits for a queue of writes.
"""

import contextlib
import hashlib
import os
import queue
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .block_file import (
    UNFINISHED,
    BlockFileError,
    BlockHeader,
    read_block,
    read_header,
    write_block,
)
from .index import SessionIndex
from .limits import Limits
from .session import Place, Visit


@dataclass
class DiskCounts:
    """What happened since the start, in blocks."""

    written: int = 0
    read: int = 0
    corrupted: int = 0
    failed_writes: int = 0
    skipped_writes: int = 0
    found_at_start: int = 0


@dataclass(frozen=True)
class DiskJob:
    """A finished job. done: keys that were written or read."""

    job_id: int
    done: tuple[bytes, ...]
    failed: tuple[bytes, ...]
    seconds: float


@dataclass
class _Outcome:
    job_id: int
    reading: bool
    done: list[bytes] = field(default_factory=list)
    corrupted: list[bytes] = field(default_factory=list)
    failed: list[bytes] = field(default_factory=list)
    seconds: float = 0.0


Slot = tuple[bytes, Place, memoryview]
"""A block to write: key, place, payload."""


class DiskStore:
    """One file for each block below `folder`.

    Args:
        folder: exists and belongs to this process alone.
        limits: budgets in bytes of payload.
        clock: seconds since the epoch.
        max_queued_bytes: writes beyond this are skipped rather than piled up in memory.
    """

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        clock: Callable[[], float] = time.time,
        max_queued_bytes: int = 1 << 30,
    ) -> None:
        self.index = SessionIndex(limits, clock)
        self.counts = DiskCounts()
        self._folder = folder
        self._max_queued_bytes = max_queued_bytes
        self._queued_bytes = 0
        self._ready: set[bytes] = set()
        self._sizes: dict[int, int] = {}
        self._outcomes: queue.SimpleQueue[_Outcome] = queue.SimpleQueue()
        self._writer = ThreadPoolExecutor(1, "session-kv-write")
        self._reader = ThreadPoolExecutor(1, "session-kv-read")
        self._find_again()

    def holds(self, key: bytes) -> bool:
        """Whether the block can be read."""
        return key in self._ready and key in self.index

    def use(self, visit: Visit, places: Iterable[tuple[bytes, Place]]) -> None:
        """A request uses blocks, wherever it found them: those on disk are as fresh."""
        paths = []
        for key, place in places:
            if key in self.index:
                self.index.use(visit, key, place)
                paths.append(self._path(key))
        if paths:
            self._writer.submit(_refresh, paths, visit.session.last_used)

    def save(self, job_id: int, visit: Visit, slots: Sequence[Slot]) -> None:
        """Write blocks in the background; their memory must stay as it is until the job is done."""
        self._free(self.index.expire())
        new = [] if visit.session.deleted else [s for s in slots if not self.index.tracks(s[0])]
        accepted = self._make_room(visit, new)
        headers = []
        for key, place, payload in accepted:
            self.index.add(visit, key, payload.nbytes, place)
            session = visit.session
            header = BlockHeader(key.hex(), session.group, session.named, *place, payload.nbytes)
            headers.append((key, header, payload))
        size = sum(payload.nbytes for _, _, payload in headers)
        self._sizes[job_id] = size
        self._queued_bytes += size
        self._writer.submit(self._write, job_id, headers)

    def load(self, job_id: int, slots: Sequence[tuple[bytes, memoryview]]) -> None:
        """Read blocks in the background into memory of their size."""
        present = []
        for key, into in slots:
            if self.holds(key):
                self.index.pin(key)
                present.append((key, into))
        absent = [key for key, _ in slots if not self.holds(key)]
        self._sizes[job_id] = 0
        self._reader.submit(self._read, job_id, present, absent)

    def finished(self) -> list[DiskJob]:
        """The jobs that ended since the last call."""
        jobs = []
        with contextlib.suppress(queue.Empty):
            while True:
                jobs.append(self._settle(self._outcomes.get_nowait()))
        return jobs

    @property
    def busy(self) -> bool:
        """Whether a job is under way."""
        return bool(self._sizes)

    def drop(self, group: str) -> int:
        """Delete a session. Returns the bytes that leave the disk because of it."""
        freed, leaving = self.index.drop(group)
        self._free(freed)
        return leaving

    def expire(self) -> None:
        """End idle sessions."""
        self._free(self.index.expire())

    def wait(self) -> None:
        """Return when every job has ended; `finished` then reports them."""
        self._writer.submit(int).result()
        self._reader.submit(int).result()

    def close(self) -> None:
        """Finish what is queued, and end the threads."""
        self._reader.shutdown()
        self._writer.shutdown()

    def _make_room(self, visit: Visit, slots: list[Slot]) -> list[Slot]:
        """Those of the blocks, from the prompt's start on, that budgets and queue allow."""
        total = sum(slot[2].nbytes for slot in slots)
        freed, allowed = self.index.trim(visit, total)
        self._free(freed)
        if self._queued_bytes + total > self._max_queued_bytes:
            self.counts.skipped_writes += len(slots)
            return []
        accepted: list[Slot] = []
        for slot in slots:
            allowed -= slot[2].nbytes
            if allowed < 0:
                break
            accepted.append(slot)
        self.index.refuse(len(slots) - len(accepted))
        wanted = sum(slot[2].nbytes for slot in accepted)
        excess = self.index.bytes + wanted - self.index.limits.max_bytes
        if excess > 0:
            victims = self.index.evict(excess, frozenset(slot[0] for slot in slots))
            if victims is None:
                self.counts.skipped_writes += len(accepted)
                return []
            self._free(victims)
        return accepted

    def _free(self, keys: Iterable[bytes]) -> None:
        paths = [self._path(key) for key in keys]
        self._ready.difference_update(keys)
        if paths:
            self._writer.submit(_unlink, paths)

    def _settle(self, outcome: _Outcome) -> DiskJob:
        self._queued_bytes -= self._sizes.pop(outcome.job_id)
        if outcome.reading:
            self.counts.read += len(outcome.done)
            self.counts.corrupted += len(outcome.corrupted)
            lost = outcome.corrupted
        else:
            self.counts.written += len(outcome.done)
            self.counts.failed_writes += len(outcome.failed)
            self._ready.update(outcome.done)
            lost = outcome.failed
        for key in lost:
            self.index.remove(key)
        self._free([*lost, *(key for key in outcome.done if self.index.unpin(key))])
        failed = (*outcome.corrupted, *outcome.failed)
        return DiskJob(outcome.job_id, tuple(outcome.done), failed, outcome.seconds)

    def _write(self, job_id: int, blocks: Sequence[tuple[bytes, BlockHeader, memoryview]]) -> None:
        outcome, start = _Outcome(job_id, reading=False), time.perf_counter()
        for key, header, payload in blocks:
            path = self._path(key)
            try:
                path.parent.mkdir(exist_ok=True)
                write_block(path, header, payload)
            except OSError:
                outcome.failed.append(key)
            else:
                outcome.done.append(key)
        outcome.seconds = time.perf_counter() - start
        self._outcomes.put(outcome)

    def _read(
        self, job_id: int, blocks: Sequence[tuple[bytes, memoryview]], absent: list[bytes]
    ) -> None:
        outcome, start = _Outcome(job_id, reading=True, failed=absent), time.perf_counter()
        for key, into in blocks:
            try:
                read_block(self._path(key), key.hex(), into)
            except (BlockFileError, OSError):
                outcome.corrupted.append(key)
            else:
                outcome.done.append(key)
        outcome.seconds = time.perf_counter() - start
        self._outcomes.put(outcome)

    def _find_again(self) -> None:
        """Take up the files that are there, the least recently used first."""
        groups: dict[str, list[BlockHeader]] = {}
        used: dict[str, float] = {}
        for path in self._folder.glob("*/*"):
            header = self._recognise(path)
            if header is not None:
                groups.setdefault(header.group, []).append(header)
                used[header.group] = max(used.get(header.group, 0.0), path.stat().st_mtime)
        for group in sorted(groups, key=used.__getitem__):
            self._take_up(groups[group], used[group])
        self.expire()
        excess = self.index.bytes - self.index.limits.max_bytes
        self._free(self.index.evict(excess) or [] if excess > 0 else [])

    def _recognise(self, path: Path) -> BlockHeader | None:
        """The header of a file that a crash left whole; any other is removed."""
        try:
            if path.suffix == UNFINISHED:
                path.unlink()
                return None
            header = read_header(path)
            if path == self._path(bytes.fromhex(header.key)):
                return header
        except ValueError:
            pass
        self.counts.corrupted += 1
        path.unlink()
        return None

    def _take_up(self, headers: list[BlockHeader], used: float) -> None:
        """A session's blocks, last used `used` seconds after the epoch."""
        visit = self.index.begin(headers[0].group, named=headers[0].named, now=used)
        for header in headers:
            key = bytes.fromhex(header.key)
            self.index.add(visit, key, header.size, Place(header.position, header.protected))
            self.index.unpin(key)
            self._ready.add(key)
        self.counts.found_at_start += len(headers)

    def _path(self, key: bytes) -> Path:
        name = hashlib.sha256(key).hexdigest()
        return self._folder / name[:2] / name[2:34]


def _refresh(paths: Sequence[Path], used: float) -> None:
    """A restart reads the time of last use from the file's."""
    for path in paths:
        with contextlib.suppress(OSError):
            os.utime(path, (used, used))


def _unlink(paths: Sequence[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
