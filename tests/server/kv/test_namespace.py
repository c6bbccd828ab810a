"""Folders of configurations: one server each, and no leftovers for ever."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metacompress_server.kv.namespace import Namespace, NamespaceInUse, discard_stale

FIELDS = {"model": "m", "block_size": 32}


@pytest.mark.parametrize("change", [{"model": "other"}, {"block_size": 16}, {"vllm": "0.33"}])
def test_every_field_names_another_folder(tmp_path: Path, change: dict[str, str | int]) -> None:
    one, other = Namespace(tmp_path, FIELDS), Namespace(tmp_path, {**FIELDS, **change})
    assert one.folder != other.folder
    one.close()
    other.close()


def test_the_same_fields_find_the_same_folder(tmp_path: Path) -> None:
    first = Namespace(tmp_path, FIELDS)
    first.close()
    again = Namespace(tmp_path, dict(reversed(FIELDS.items())))
    assert again.blocks == first.blocks
    again.close()


def test_a_second_server_is_refused_until_the_first_one_dies(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from metacompress_server.kv.namespace import Namespace\n"
        f"n = Namespace(pathlib.Path({str(tmp_path)!r}), {FIELDS!r}); print('up', flush=True)\n"
        "sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        assert process.stdout.readline() == b"up\n"
        with pytest.raises(NamespaceInUse, match="running server"):
            Namespace(tmp_path, FIELDS)
        process.kill()
    Namespace(tmp_path, FIELDS).close()


def test_stale_files_of_other_configurations_go(tmp_path: Path) -> None:
    mine, old = Namespace(tmp_path, FIELDS), Namespace(tmp_path, {"model": "old"})
    running = Namespace(tmp_path, {"model": "running"})
    for namespace in (mine, old, running):
        (namespace.blocks / "aa").mkdir()
        for name, age in (("stale", 0), ("fresh", None)):
            path = namespace.blocks / "aa" / name
            path.write_bytes(b"x")
            if age is not None:
                os.utime(path, (age, age))
    old.close()
    (tmp_path / "unrelated").mkdir()
    assert discard_stale(tmp_path, mine.folder, ttl_s=100.0) == 1
    assert [path.name for path in old.blocks.glob("*/*")] == ["fresh"]
    assert len(list(mine.blocks.glob("*/*"))) == len(list(running.blocks.glob("*/*"))) == 2
    mine.close()
    running.close()
