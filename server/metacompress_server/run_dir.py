"""Where the processes of one server keep what they share: the state folder, or one for this run."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from .settings import ServerSettings

RUN_DIR = "METACOMPRESS_RUN_DIR"
"""Environment variable that names this run's folder to every process of the server."""


def share_run_dir() -> None:
    """Make this run's folder, readable for this user alone, unless a parent process made it.

    The process that made it removes it when it exits.
    """
    if RUN_DIR in os.environ:
        return
    folder = tempfile.mkdtemp(prefix="metacompress-")
    os.environ[RUN_DIR] = folder
    atexit.register(_remove, folder, os.getpid())


def shared_dir(settings: ServerSettings) -> Path:
    """The folder of everything that the server's processes share, made if it is not there.

    Raises:
        OSError: it cannot be made.
    """
    if settings.state_dir is None:
        share_run_dir()
        return Path(os.environ[RUN_DIR])
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return settings.state_dir


def _remove(folder: str, owner: int) -> None:
    """A fork of the owner inherits this, but not the right to it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
