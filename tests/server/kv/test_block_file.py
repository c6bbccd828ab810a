"""A block's file is whole and right, or refused."""

from pathlib import Path

import pytest

from metacompress_server.kv.block_file import (
    BlockFileError,
    BlockHeader,
    read_block,
    read_header,
    write_block,
)

PAYLOAD = bytes(range(256)) * 40
HEADER = BlockHeader("ab12", "session one", True, 32, False, len(PAYLOAD))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "block"
    write_block(path, HEADER, memoryview(PAYLOAD))
    return path


def read(path: Path, key: str = "ab12") -> bytes:
    into = bytearray(len(PAYLOAD))
    read_block(path, key, memoryview(into))
    return bytes(into)


def test_what_was_written_is_read(path: Path) -> None:
    assert read(path) == PAYLOAD
    assert read_header(path) == HEADER
    assert [other.name for other in path.parent.iterdir()] == ["block"]


def test_every_flipped_bit_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    for place in [*range(160), len(content) // 2, len(content) - 1]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(BlockFileError):
            read(path)


@pytest.mark.parametrize("length", [0, 3, 20, 27, 100, 5000, -1])
def test_every_cut_is_noticed_by_both_readers(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(BlockFileError):
        read(path)
    with pytest.raises(BlockFileError):
        read_header(path)


def test_bytes_too_many_are_noticed(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(BlockFileError):
        read(path)
    with pytest.raises(BlockFileError):
        read_header(path)


def test_a_file_in_the_place_of_another_is_refused(path: Path) -> None:
    with pytest.raises(BlockFileError, match="another block"):
        read(path, "ab13")


def test_a_block_of_another_size_is_refused(path: Path) -> None:
    with pytest.raises(BlockFileError, match="another block"):
        read_block(path, "ab12", memoryview(bytearray(5)))


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        write_block(tmp_path / "missing" / "block", HEADER, memoryview(PAYLOAD))
    (tmp_path / "block").mkdir()
    with pytest.raises(IsADirectoryError):
        write_block(tmp_path / "block", HEADER, memoryview(PAYLOAD))
    assert [path.name for path in tmp_path.iterdir()] == ["block"]
