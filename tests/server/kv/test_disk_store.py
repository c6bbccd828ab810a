"""The store of block files: what it finds again, what it drops, and that budgets hold."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from metacompress_server.kv.disk_store import DiskStore, Slot
from metacompress_server.kv.limits import Limits
from metacompress_server.kv.session import Place, Reason, Visit

SIZE = 1000


class Disk:
    """A store, and the calls that a test makes of it."""

    def __init__(self, folder: Path, limits: Limits, **options: int) -> None:
        self.now = time.time()
        self.store = DiskStore(folder, limits, clock=lambda: self.now, **options)
        self.jobs = 0

    def visit(self, session: str) -> Visit:
        return self.store.index.begin(session, named=True)

    def save(self, visit: Visit, names: str) -> tuple[bytes, ...]:
        """Write a block for each letter, and wait. Returns the keys that were written."""
        self.jobs += 1
        slots: list[Slot] = [
            (name.encode(), Place(place, False), memoryview(name.encode() * SIZE))
            for place, name in enumerate(names)
        ]
        self.store.save(self.jobs, visit, slots)
        return self._end()

    def load(self, names: str) -> dict[bytes, bytes]:
        """Read blocks. Returns those that could be read."""
        self.jobs += 1
        slots = [(name.encode(), memoryview(bytearray(SIZE))) for name in names]
        self.store.load(self.jobs, slots)
        done = self._end()
        return {key: bytes(into) for key, into in slots if key in done}

    def _end(self) -> tuple[bytes, ...]:
        self.store.wait()
        (job,) = self.store.finished()
        assert job.job_id == self.jobs
        assert not self.store.busy
        return job.done


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path, Limits(10 * SIZE, 1.0, 60.0))
    yield disk
    disk.store.close()


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*/*") if path.is_file())


def test_blocks_come_back_as_they_were(disk: Disk) -> None:
    assert disk.save(disk.visit("one"), "abc") == (b"a", b"b", b"c")
    assert disk.store.holds(b"b")
    assert disk.load("ab") == {b"a": b"a" * SIZE, b"b": b"b" * SIZE}
    assert disk.store.counts.written == 3
    assert disk.store.counts.read == 2


def test_a_restart_finds_the_sessions_again(disk: Disk, tmp_path: Path) -> None:
    disk.save(disk.visit("one"), "ab")
    disk.save(disk.visit("two"), "c")
    again = Disk(tmp_path, disk.store.index.limits)
    assert again.store.counts.found_at_start == 3
    assert list(again.store.index.named_groups()) == ["one", "two"]
    assert again.load("abc").keys() == {b"a", b"b", b"c"}
    assert again.store.index.evict(2 * SIZE) == [b"b", b"a"]
    again.store.close()


def test_a_restart_keeps_to_a_smaller_budget_and_the_ttl(disk: Disk, tmp_path: Path) -> None:
    disk.save(disk.visit("idle"), "ab")
    for path in files(tmp_path):
        os.utime(path, (disk.now - 61, disk.now - 61))
    disk.save(disk.visit("one"), "cdef")
    again = Disk(tmp_path, Limits(3 * SIZE, 1.0, 60.0))
    again.store.close()
    assert again.store.index.evictions == {"ttl": 2, "lru": 1, "capacity": 0, "deleted": 0}
    assert again.store.index.bytes == 3 * SIZE
    assert len(files(tmp_path)) == 3


def test_the_budget_holds_and_files_go_with_their_blocks(disk: Disk, tmp_path: Path) -> None:
    disk.save(disk.visit("one"), "abcdef")
    disk.save(disk.visit("two"), "ghijkl")
    disk.store.wait()
    assert disk.store.index.bytes == 10 * SIZE
    assert len(files(tmp_path)) == 10
    assert not disk.store.holds(b"f")
    assert disk.store.index.evictions[Reason.LRU] == 2


def test_a_session_keeps_to_its_share(tmp_path: Path) -> None:
    disk = Disk(tmp_path, Limits(10 * SIZE, 0.3, 60.0))
    assert disk.save(disk.visit("one"), "abcde") == (b"a", b"b", b"c")
    assert disk.store.index.evictions[Reason.CAPACITY] == 2
    disk.store.close()


def test_idle_sessions_leave_the_disk(disk: Disk, tmp_path: Path) -> None:
    disk.save(disk.visit("one"), "ab")
    disk.now += 61
    disk.store.expire()
    disk.store.wait()
    assert files(tmp_path) == []


def test_use_makes_files_younger_for_the_next_start(disk: Disk, tmp_path: Path) -> None:
    disk.save(disk.visit("one"), "a")
    os.utime(files(tmp_path)[0], (5, 5))
    disk.store.use(disk.visit("one"), [(b"a", Place(1, False)), (b"missing", Place(2, False))])
    disk.store.wait()
    assert files(tmp_path)[0].stat().st_mtime == pytest.approx(disk.now)


def test_a_deleted_session_leaves_no_file(disk: Disk, tmp_path: Path) -> None:
    visit = disk.visit("one")
    disk.save(visit, "ab")
    assert disk.store.drop("one") == 2 * SIZE
    assert disk.save(visit, "c") == ()
    disk.store.wait()
    assert files(tmp_path) == []


def test_a_session_deleted_while_it_is_written_leaves_no_file(disk: Disk, tmp_path: Path) -> None:
    disk.store.save(1, disk.visit("one"), [(b"a", Place(0, False), memoryview(b"a" * SIZE))])
    disk.store.drop("one")
    disk.store.wait()
    disk.store.finished()
    disk.store.wait()
    assert files(tmp_path) == []
    assert disk.store.index.bytes == 0


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "remove", "swap"])
def test_a_damaged_block_is_dropped_counted_and_the_others_are_read(
    disk: Disk, tmp_path: Path, damage: str
) -> None:
    disk.save(disk.visit("one"), "ab")
    path = disk.store._path(b"a")
    content = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(
            {
                "flip": content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
                "cut": content[:-5],
                "empty": b"",
                "swap": disk.store._path(b"b").read_bytes(),
            }[damage]
        )
    assert disk.load("ab") == {b"b": b"b" * SIZE}
    assert disk.store.counts.corrupted == 1
    assert not disk.store.holds(b"a")
    assert disk.store.index.bytes == SIZE
    disk.store.wait()
    assert files(tmp_path) == [disk.store._path(b"b")]
    assert disk.save(disk.visit("one"), "a") == (b"a",)
    assert disk.load("a") == {b"a": b"a" * SIZE}


def test_a_restart_drops_what_a_crash_left_unfinished(disk: Disk, tmp_path: Path) -> None:
    disk.save(disk.visit("one"), "abc")
    disk.store._path(b"a").write_bytes(b"MCKVBLK1 and then the power went")
    disk.store._path(b"b").rename(disk.store._path(b"b").with_suffix(".part"))
    (disk.store._path(b"c").parent / "0123").write_bytes(disk.store._path(b"c").read_bytes())
    again = Disk(tmp_path, disk.store.index.limits)
    again.store.close()
    assert again.store.counts.found_at_start == 1
    assert again.store.counts.corrupted == 2
    assert files(tmp_path) == [disk.store._path(b"c")]


def test_a_disk_that_cannot_be_written_loses_blocks_only(disk: Disk, tmp_path: Path) -> None:
    blocked = disk.store._path(b"a").parent
    blocked.write_bytes(b"no folder")
    assert disk.save(disk.visit("one"), "ab") == (b"b",)
    assert disk.store.counts.failed_writes == 1
    assert disk.store.index.bytes == SIZE


def test_a_full_queue_skips_writes(tmp_path: Path) -> None:
    disk = Disk(tmp_path, Limits(10 * SIZE, 1.0, 60.0), max_queued_bytes=2 * SIZE)
    assert disk.save(disk.visit("one"), "abc") == ()
    assert disk.store.counts.skipped_writes == 3
    assert disk.save(disk.visit("one"), "ab") == (b"a", b"b")
    disk.store.close()
