"""Sessions of every tenant, under limits of number, size and time, shared by all processes.

Nothing that an answer depends on is kept here, so a session that was forgotten costs time at most.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from metacompress_server.database import Database
from metacompress_server.errors import RequestError

from . import rows
from .records import (
    EndedSession,
    Session,
    SessionLimits,
    SessionPicture,
    StoreTotals,
    Turn,
)


class SessionStore:
    """Open one per process on the same file.

    Args:
        path: the file.
        limits: of every session.
        clock: seconds since 1970.
    """

    def __init__(
        self, path: Path, limits: SessionLimits, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = Database(path, rows.SCHEMA, rows.VERSION)
        self.limits = limits
        self._clock = clock

    async def begin_turn(
        self,
        tenant: str,
        session_id: str,
        scoped: str,
        pictures: Sequence[SessionPicture],
        max_sessions: int | None,
    ) -> tuple[Turn, Sequence[EndedSession]]:
        """Note a turn, in a session that is made where there is none.

        Args:
            tenant: its name.
            session_id: the client's.
            scoped: the engine's.
            pictures: all in the prompt, those of earlier turns included.
            max_sessions: of this tenant; the ones used least recently make room.

        Returns:
            What was found, and the sessions that ended on the way.

        Raises:
            RequestError: the session has as many turns or pictures as it may have.
        """

        def work(db: sqlite3.Connection) -> tuple[Turn, Sequence[EndedSession]]:
            ended = rows.end(db, rows.idle(db, self._since(), tenant), "ttl")
            row = rows.find(db, tenant, session_id)
            if row is None:
                ended += self._insert(db, tenant, session_id, scoped, max_sessions)
            number = 1 if row is None else row["turns"] + 1
            rows.set_turn(db, tenant, session_id, number, self._clock())
            for picture in {picture.identity: picture for picture in pictures}.values():
                rows.note_picture(db, tenant, session_id, number, picture)
            self._check(number, rows.count_pictures(db, tenant, session_id))
            expired = any(one.scoped == scoped for one in ended)
            return Turn("hit" if row else "expired" if expired else "miss", number), ended

        return await self._database.run(work)

    async def finish_turn(
        self, tenant: str, session_id: str, prompt_tokens: int, cached_tokens: int, reused: int
    ) -> None:
        """Note what a turn found in the caches; nothing where the session ended meanwhile."""
        added = (prompt_tokens, cached_tokens, reused)
        await self._database.run(
            lambda db: rows.add_usage(db, tenant, session_id, self._clock(), added)
        )

    async def create(
        self, tenant: str, session_id: str, scoped: str, max_sessions: int | None
    ) -> Sequence[EndedSession]:
        """A session without turns. Returns the sessions that made room for it.

        Raises:
            RequestError: status 409, the tenant has one of this name.
        """

        def work(db: sqlite3.Connection) -> Sequence[EndedSession]:
            ended = rows.end(db, rows.idle(db, self._since(), tenant), "ttl")
            if rows.find(db, tenant, session_id) is not None:
                raise RequestError(
                    "you have a session of this id", param="id", code="session_exists", status=409
                )
            return ended + self._insert(db, tenant, session_id, scoped, max_sessions)

        return await self._database.run(work)

    async def get(self, tenant: str, session_id: str) -> Session:
        """A live session. Raises RequestError with status 404: not yours, or not there."""
        return await self._database.run(
            lambda db: rows.load(db, self._live(db, tenant, session_id))
        )

    async def page(
        self, tenant: str, limit: int, after: str = ""
    ) -> tuple[Sequence[Session], bool]:
        """Live sessions in the order of their ids, and whether more follow."""

        def work(db: sqlite3.Connection) -> tuple[Sequence[Session], bool]:
            found = rows.page(db, tenant, after, limit + 1, self._since())
            return [rows.load(db, row) for row in found[:limit]], len(found) > limit

        return await self._database.run(work)

    async def delete(self, tenant: str, session_id: str) -> EndedSession:
        """Forget a session. Raises RequestError with status 404: not yours, or not there."""

        def work(db: sqlite3.Connection) -> EndedSession:
            (ended,) = rows.end(db, [self._live(db, tenant, session_id)], "deleted")
            return ended

        return await self._database.run(work)

    async def expire(self) -> Sequence[EndedSession]:
        """End every session that nobody used for too long."""
        return await self._database.run(
            lambda db: rows.end(db, rows.idle(db, self._since(), None), "ttl")
        )

    async def totals(self) -> StoreTotals:
        """Of all tenants."""
        return await self._database.run(partial(rows.totals, since=self._since()))

    def close(self) -> None:
        """Let the file go."""
        self._database.close()

    def _since(self) -> float:
        """Who was used before this is idle for too long."""
        return self._clock() - self.limits.ttl_s

    def _insert(
        self,
        db: sqlite3.Connection,
        tenant: str,
        session_id: str,
        scoped: str,
        max_sessions: int | None,
    ) -> list[EndedSession]:
        surplus: Sequence[sqlite3.Row] = []
        if max_sessions is not None:
            surplus = rows.oldest(db, tenant, max(0, max_sessions - 1))
        rows.insert(db, tenant, session_id, scoped, self._clock())
        return rows.end(db, surplus, "lru")

    def _live(self, db: sqlite3.Connection, tenant: str, session_id: str) -> sqlite3.Row:
        row = rows.find(db, tenant, session_id)
        if row is None or row["used"] < self._since():
            raise RequestError(
                "no such session", param="session_id", code="session_not_found", status=404
            )
        return row

    def _check(self, turns: int, pictures: int) -> None:
        """Raising rolls the turn back."""
        limits = self.limits
        if turns > limits.max_turns or pictures > limits.max_images:
            raise RequestError(
                f"a session may have {limits.max_turns} turns and {limits.max_images} pictures; "
                "go on under another session id",
                param="session_id",
                code="session_full",
            )
