"""Sessions as rows of a SQLite file: every statement, none of the rules.

A tenant is named in every statement that is about one session: one tenant's id says nothing about
another's.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from .records import EndedSession, Reason, Session, SessionPicture, StoreTotals

VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
    tenant TEXT NOT NULL, id TEXT NOT NULL, scoped TEXT NOT NULL,
    created REAL NOT NULL, used REAL NOT NULL, turns INTEGER NOT NULL DEFAULT 0,
    prompt_tokens INTEGER NOT NULL DEFAULT 0, cached_tokens INTEGER NOT NULL DEFAULT 0,
    images_reused INTEGER NOT NULL DEFAULT 0,
    original INTEGER NOT NULL DEFAULT 0, kept INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_by_tenant_and_use ON sessions (tenant, used);
CREATE INDEX IF NOT EXISTS sessions_by_use ON sessions (used, original, kept);
CREATE UNIQUE INDEX IF NOT EXISTS sessions_by_scoped_id ON sessions (scoped);
CREATE TABLE IF NOT EXISTS session_pictures (
    tenant TEXT NOT NULL, session TEXT NOT NULL, identity TEXT NOT NULL, detail TEXT NOT NULL,
    original INTEGER NOT NULL, kept INTEGER NOT NULL, uses INTEGER NOT NULL DEFAULT 1,
    first_turn INTEGER NOT NULL,
    PRIMARY KEY (tenant, session, identity),
    FOREIGN KEY (tenant, session) REFERENCES sessions (tenant, id) ON DELETE CASCADE
) WITHOUT ROWID
"""

_SESSION = [field.name for field in fields(Session) if field.name != "pictures"]


def find(db: sqlite3.Connection, tenant: str, session_id: str) -> sqlite3.Row | None:
    """The row of one session."""
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM sessions WHERE tenant = ? AND id = ?", (tenant, session_id)
    ).fetchone()
    return row


def idle(db: sqlite3.Connection, before: float, tenant: str | None) -> Sequence[sqlite3.Row]:
    """Sessions that nobody used since `before`, of one tenant or of all."""
    if tenant is None:
        return db.execute("SELECT * FROM sessions WHERE used < ?", (before,)).fetchall()
    return db.execute(
        "SELECT * FROM sessions WHERE tenant = ? AND used < ?", (tenant, before)
    ).fetchall()


def oldest(db: sqlite3.Connection, tenant: str, keep: int) -> Sequence[sqlite3.Row]:
    """The tenant's sessions beyond the `keep` that were used last."""
    return db.execute(
        "SELECT * FROM sessions WHERE tenant = ? ORDER BY used DESC LIMIT -1 OFFSET ?",
        (tenant, keep),
    ).fetchall()


def page(
    db: sqlite3.Connection, tenant: str, after: str, limit: int, since: float
) -> Sequence[sqlite3.Row]:
    """The tenant's sessions used since, in the order of their ids."""
    return db.execute(
        "SELECT * FROM sessions WHERE tenant = ? AND id > ? AND used >= ? ORDER BY id LIMIT ?",
        (tenant, after, since, limit),
    ).fetchall()


def insert(db: sqlite3.Connection, tenant: str, session_id: str, scoped: str, now: float) -> None:
    """A session without turns."""
    db.execute(
        "INSERT INTO sessions (tenant, id, scoped, created, used) VALUES (?, ?, ?, ?, ?)",
        (tenant, session_id, scoped, now, now),
    )


def end(db: sqlite3.Connection, rows: Iterable[sqlite3.Row], reason: Reason) -> list[EndedSession]:
    """Remove sessions and their pictures."""
    ended = [
        EndedSession(row["id"], row["scoped"], row["turns"], row["used"] - row["created"], reason)
        for row in rows
    ]
    db.executemany("DELETE FROM sessions WHERE scoped = ?", [(one.scoped,) for one in ended])
    return ended


def set_turn(db: sqlite3.Connection, tenant: str, session_id: str, turns: int, now: float) -> None:
    """A session begins its turn number `turns`."""
    db.execute(
        "UPDATE sessions SET turns = ?, used = ? WHERE tenant = ? AND id = ?",
        (turns, now, tenant, session_id),
    )


def note_picture(
    db: sqlite3.Connection, tenant: str, session_id: str, turn: int, picture: SessionPicture
) -> None:
    """A picture in the prompt of a turn, seen before or not."""
    original, kept = picture.tokens_original, picture.tokens_kept
    new = db.execute(
        "INSERT OR IGNORE INTO session_pictures "
        "(tenant, session, identity, detail, original, kept, uses, first_turn) "
        "VALUES (?, ?, ?, ?, ?, ?, 0, ?)",
        (tenant, session_id, picture.identity, picture.detail, original, kept, turn),
    ).rowcount
    db.execute(
        "UPDATE session_pictures SET uses = uses + 1 "
        "WHERE tenant = ? AND session = ? AND identity = ?",
        (tenant, session_id, picture.identity),
    )
    if new:
        db.execute(
            "UPDATE sessions SET original = original + ?, kept = kept + ? "
            "WHERE tenant = ? AND id = ?",
            (original, kept, tenant, session_id),
        )


def count_pictures(db: sqlite3.Connection, tenant: str, session_id: str) -> int:
    """Different pictures of a session."""
    (count,) = db.execute(
        "SELECT count(*) FROM session_pictures WHERE tenant = ? AND session = ?",
        (tenant, session_id),
    ).fetchone()
    return int(count)


def add_usage(
    db: sqlite3.Connection, tenant: str, session_id: str, now: float, added: tuple[int, int, int]
) -> None:
    """Add prompt tokens, cached tokens and reused pictures; nothing where the session is gone."""
    db.execute(
        "UPDATE sessions SET used = ?, prompt_tokens = prompt_tokens + ?, "
        "cached_tokens = cached_tokens + ?, images_reused = images_reused + ? "
        "WHERE tenant = ? AND id = ?",
        (now, *added, tenant, session_id),
    )


def load(db: sqlite3.Connection, row: sqlite3.Row) -> Session:
    """A session with its pictures, in the order in which they came."""
    pictures = db.execute(
        "SELECT identity, detail, original, kept, uses, first_turn FROM session_pictures "
        "WHERE tenant = ? AND session = ? ORDER BY first_turn, identity",
        (row["tenant"], row["id"]),
    )
    known: dict[str, Any] = {name: row[name] for name in _SESSION}
    return Session(**known, pictures=[SessionPicture(*one) for one in pictures])


def totals(db: sqlite3.Connection, since: float) -> StoreTotals:
    """Of all tenants' sessions used since."""
    row = db.execute(
        "SELECT count(*), coalesce(sum(original), 0), coalesce(sum(kept), 0) FROM sessions "
        "WHERE used >= ?",
        (since,),
    ).fetchone()
    return StoreTotals(*row)
