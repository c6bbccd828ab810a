"""A SQLite file that the server's HTTP processes share, used off the event loop.

Several processes may open the same file (write-ahead log, short transactions). What is in it is
bookkeeping that the server can do without, so a broken file is set aside and a new one begun.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

_Result = TypeVar("_Result")
_BUSY_S = 10.0

logger = logging.getLogger(__name__)


class Database:
    """One connection in one thread.

    Args:
        path: the file; its folder exists.
        schema: statements that create what is missing.
        version: of the schema; a file of another version is set aside.
    """

    def __init__(self, path: Path, schema: str, version: int) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=path.stem)
        self._connection = self._thread.submit(_open, path, schema, version).result()

    async def run(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """`work` as one transaction: all of it happens, or none."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._transact, work)

    def _transact(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        self._connection.execute("BEGIN IMMEDIATE")
        with self._connection:  # commits, or rolls back if `work` raises
            return work(self._connection)

    def close(self) -> None:
        """Let the file go."""
        self._thread.submit(self._connection.close).result()
        self._thread.shutdown()


def _open(path: Path, schema: str, version: int) -> sqlite3.Connection:
    try:
        return _connect(path, schema, version)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        aside = path.with_name(path.name + ".broken")
        logger.warning("%s: %s; set aside as %s, begun anew", path, error, aside.name)
        path.replace(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _connect(path, schema, version)


def _connect(path: Path, schema: str, version: int) -> sqlite3.Connection:
    """Raises sqlite3.DatabaseError: the file is broken, or of another version."""
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA auto_vacuum = FULL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA foreign_keys = ON")
        (problem,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if problem != "ok" or found not in (0, version):
            raise sqlite3.DatabaseError(f"schema {found}, check {problem}")
        connection.executescript(
            f"BEGIN IMMEDIATE; {schema}; PRAGMA user_version = {version}; COMMIT"
        )
    except sqlite3.Error:
        connection.close()
        raise
    return connection
