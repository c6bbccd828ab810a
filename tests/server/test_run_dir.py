import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from metacompress_server.run_dir import RUN_DIR, shared_dir
from metacompress_server.settings import ServerSettings

SHARE = "from metacompress_server.run_dir import share_run_dir as s; import os; s(); s(); "
SHOW = f"print(os.environ['{RUN_DIR}'])"


def run(code: str, **environment: str) -> str:
    bare = {name: value for name, value in os.environ.items() if name != RUN_DIR}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env={**bare, **environment}, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_state_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    folder = shared_dir(ServerSettings.read({"state_dir": tmp_path / "state" / "deep"}))
    assert folder == tmp_path / "state" / "deep"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_processes_of_one_run_share_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_DIR, str(tmp_path))
    assert shared_dir(ServerSettings.read()) == tmp_path
    assert run(SHARE + SHOW, **{RUN_DIR: str(tmp_path)}) == str(tmp_path)
    assert tmp_path.is_dir()


def test_the_folder_of_a_run_goes_with_it() -> None:
    mode = "print(oct(os.stat(os.environ['METACOMPRESS_RUN_DIR']).st_mode & 0o777)); "
    mode_then, folder = run(SHARE + mode + SHOW).split()
    assert mode_then == "0o700"
    assert not Path(folder).exists()


def test_a_fork_leaves_the_folder_to_its_owner() -> None:
    fork = "p = os.fork()\nif p == 0: raise SystemExit\nos.waitpid(p, 0); "
    alive = f"print(os.path.isdir(os.environ['{RUN_DIR}']))"
    assert run(SHARE + "\n" + fork + alive) == "True"
