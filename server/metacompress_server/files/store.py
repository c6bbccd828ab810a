"""Uploaded pictures of every tenant, under limits of number, size and time.

The bytes are kept as they came, in a SQLite file: an upload is there whole or not at all, and a
deleted one is overwritten.
"""

import sqlite3
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metacompress_server.database import Database
from metacompress_server.errors import RequestError

Order = Literal["asc", "desc"]

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL,
    filename TEXT NOT NULL, purpose TEXT NOT NULL, media_type TEXT NOT NULL,
    size INTEGER NOT NULL, created REAL NOT NULL, expires REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS files_by_tenant ON files (tenant, number);
CREATE INDEX IF NOT EXISTS files_by_expiry ON files (expires);
CREATE TABLE IF NOT EXISTS contents (
    number INTEGER PRIMARY KEY REFERENCES files (number) ON DELETE CASCADE, content BLOB NOT NULL
)
"""


@dataclass(frozen=True)
class StoredFile:
    """What is known of a file. Size in bytes, times in seconds since 1970."""

    number: int
    id: str
    tenant: str
    filename: str
    purpose: str
    media_type: str
    size: int
    created: float
    expires: float


class FileStore:
    """Open one per process on the same file.

    Args:
        path: the file.
        max_bytes: of all files of one tenant together.
        clock: seconds since 1970.
    """

    def __init__(self, path: Path, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self._database = Database(path, _SCHEMA, _VERSION)
        self._max_bytes = max_bytes
        self._clock = clock

    async def add(
        self,
        tenant: str,
        content: bytes,
        *,
        filename: str,
        purpose: str,
        media_type: str,
        life_s: float,
        max_files: int | None,
    ) -> StoredFile:
        """Keep a file for `life_s`. Raises RequestError: the tenant has too many, or too much."""

        def work(db: sqlite3.Connection) -> StoredFile:
            self._remove_expired(db)
            self._check_room(db, tenant, len(content), max_files)
            now = self._clock()
            cursor = db.execute(
                "INSERT INTO files "
                "(id, tenant, filename, purpose, media_type, size, created, expires) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    f"file-{uuid.uuid4().hex}",
                    tenant,
                    filename,
                    purpose,
                    media_type,
                    len(content),
                    now,
                    now + life_s,
                ),
            )
            db.execute("INSERT INTO contents VALUES (?, ?)", (cursor.lastrowid, content))
            row = db.execute("SELECT * FROM files WHERE number = ?", (cursor.lastrowid,)).fetchone()
            return StoredFile(*row)

        return await self._database.run(work)

    async def get(self, tenant: str, file_id: str) -> StoredFile:
        """A file's record. Raises RequestError with status 404: not yours, or not there."""
        return await self._database.run(lambda db: self._find(db, tenant, file_id))

    async def read(self, tenant: str, file_id: str) -> bytes:
        """A file's bytes. Raises RequestError with status 404: not yours, or not there."""

        def work(db: sqlite3.Connection) -> bytes:
            number = self._find(db, tenant, file_id).number
            (content,) = db.execute(
                "SELECT content FROM contents WHERE number = ?", (number,)
            ).fetchone()
            return bytes(content)

        return await self._database.run(work)

    async def page(
        self,
        tenant: str,
        limit: int,
        *,
        after: str | None = None,
        order: Order = "desc",
        purpose: str | None = None,
    ) -> tuple[Sequence[StoredFile], bool]:
        """Files by age, and whether more follow. Raises RequestError: there is no file `after`."""

        def work(db: sqlite3.Connection) -> tuple[Sequence[StoredFile], bool]:
            start = None if after is None else self._find(db, tenant, after).number
            found = db.execute(
                "SELECT * FROM files WHERE tenant = :tenant AND expires > :now "
                "AND purpose = ifnull(:purpose, purpose) "
                f"AND (:start IS NULL OR number {'>' if order == 'asc' else '<'} :start) "
                f"ORDER BY number {'ASC' if order == 'asc' else 'DESC'} LIMIT :limit",
                {
                    "tenant": tenant,
                    "now": self._clock(),
                    "purpose": purpose,
                    "start": start,
                    "limit": limit + 1,
                },
            ).fetchall()
            return [StoredFile(*row) for row in found[:limit]], len(found) > limit

        return await self._database.run(work)

    async def delete(self, tenant: str, file_id: str) -> None:
        """Forget a file. Raises RequestError with status 404: not yours, or not there."""

        def work(db: sqlite3.Connection) -> None:
            number = self._find(db, tenant, file_id).number
            db.execute("DELETE FROM files WHERE number = ?", (number,))

        await self._database.run(work)

    async def expire(self) -> None:
        """Forget every file whose time is over."""
        await self._database.run(self._remove_expired)

    def close(self) -> None:
        """Let the file go."""
        self._database.close()

    def _find(self, db: sqlite3.Connection, tenant: str, file_id: str) -> StoredFile:
        row = db.execute(
            "SELECT * FROM files WHERE id = ? AND tenant = ? AND expires > ?",
            (file_id, tenant, self._clock()),
        ).fetchone()
        if row is None:
            raise RequestError("no such file", param="file_id", code="file_not_found", status=404)
        return StoredFile(*row)

    def _check_room(
        self, db: sqlite3.Connection, tenant: str, added: int, max_files: int | None
    ) -> None:
        count, size = db.execute(
            "SELECT count(*), coalesce(sum(size), 0) FROM files WHERE tenant = ?", (tenant,)
        ).fetchone()
        if (max_files is not None and count >= max_files) or size + added > self._max_bytes:
            raise RequestError(
                f"no room for this file beside your {count} files of {size} bytes together; "
                "delete some first",
                param="file",
                code="file_storage_full",
            )

    def _remove_expired(self, db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM files WHERE expires <= ?", (self._clock(),))
