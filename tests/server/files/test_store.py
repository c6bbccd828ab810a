import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from metacompress_server.errors import RequestError
from metacompress_server.files.store import FileStore, StoredFile

Result = TypeVar("Result")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[FileStore]:
    store = FileStore(tmp_path / "files.sqlite", 1000, clock)
    yield store
    store.close()


def wait(work: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(work)


def add(
    store: FileStore, content: bytes = b"picture", tenant: str = "a", purpose: str = "vision"
) -> StoredFile:
    return wait(
        store.add(
            tenant,
            content,
            filename="cat.png",
            purpose=purpose,
            media_type="image/png",
            life_s=60,
            max_files=3,
        )
    )


def code(work: Coroutine[Any, Any, object]) -> tuple[int, str | None]:
    with pytest.raises(RequestError) as refused:
        wait(work)
    return refused.value.status, refused.value.code


def test_a_file_comes_back_as_it_was(store: FileStore) -> None:
    file = add(store, b"\x00\xffpicture")
    assert (file.size, file.created, file.expires) == (9, 1000.0, 1060.0)
    assert wait(store.get("a", file.id)) == file
    assert wait(store.read("a", file.id)) == b"\x00\xffpicture"


def test_not_yours_is_not_there(store: FileStore) -> None:
    file = add(store)
    missing = (404, "file_not_found")
    for name in (file.id, "file-" + "0" * 32):
        assert code(store.get("b", name)) == missing
        assert code(store.read("b", name)) == missing
        assert code(store.delete("b", name)) == missing
        assert code(store.page("b", 5, after=name)) == missing
    assert wait(store.page("b", 5)) == ([], False)
    assert wait(store.read("a", file.id)) == b"picture"


def test_a_deleted_file_is_gone_with_its_bytes(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "own.sqlite", 1000)
    file = add(store, b"secret" * 100)
    wait(store.delete("a", file.id))
    assert code(store.read("a", file.id)) == (404, "file_not_found")
    store.close()
    left = b"".join(path.read_bytes() for path in tmp_path.glob("own.sqlite*"))
    assert left
    assert b"secret" not in left


def test_files_live_as_long_as_they_may(store: FileStore, clock: Clock) -> None:
    file = add(store)
    clock.now += 60
    assert code(store.read("a", file.id)) == (404, "file_not_found")
    assert wait(store.page("a", 5)) == ([], False)
    for _ in range(3):
        add(store)
    wait(store.expire())
    assert len(wait(store.page("a", 5))[0]) == 3


@pytest.mark.parametrize(("count", "size"), [(3, 1), (1, 999)])
def test_a_tenant_has_room_for_so_much(store: FileStore, count: int, size: int) -> None:
    files = [add(store, b"x" * size) for _ in range(count)]
    assert code(
        store.add(
            "a",
            b"xx",
            filename="",
            purpose="vision",
            media_type="image/png",
            life_s=60,
            max_files=3,
        )
    ) == (400, "file_storage_full")
    add(store, b"xx", tenant="b")
    wait(store.delete("a", files[0].id))
    add(store, b"xx")


def test_pages_follow_each_other(store: FileStore) -> None:
    files = [add(store, purpose=purpose) for purpose in ("vision", "user_data", "vision")]
    first, more = wait(store.page("a", 2))
    assert ([one.id for one in first], more) == ([files[2].id, files[1].id], True)
    rest, more = wait(store.page("a", 2, after=first[-1].id))
    assert ([one.id for one in rest], more) == ([files[0].id], False)
    oldest, _ = wait(store.page("a", 1, order="asc"))
    assert oldest == [files[0]]
    data, _ = wait(store.page("a", 9, purpose="user_data"))
    assert data == [files[1]]


def test_two_processes_share_a_store(store: FileStore, tmp_path: Path, clock: Clock) -> None:
    other = FileStore(tmp_path / "files.sqlite", 1000, clock)
    file = add(other)
    assert wait(store.read("a", file.id)) == b"picture"
    other.close()
