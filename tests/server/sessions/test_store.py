import asyncio
import sqlite3
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from metacompress_server.errors import RequestError
from metacompress_server.sessions.records import SessionLimits, SessionPicture, Turn
from metacompress_server.sessions.store import SessionStore

Result = TypeVar("Result")

CAT = SessionPicture("cat", "auto", 64, 6)
DOG = SessionPicture("dog", "low", 64, 3)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[SessionStore]:
    store = SessionStore(tmp_path / "sessions.sqlite", SessionLimits(60, 3, 4), clock)
    yield store
    store.close()


def wait(work: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(work)


def turn(store: SessionStore, name: str, *pictures: SessionPicture, tenant: str = "a") -> Turn:
    scoped = f"{tenant}/{name}"
    return wait(store.begin_turn(tenant, name, scoped, pictures, 3))[0]


def names(store: SessionStore, tenant: str = "a") -> list[str]:
    return [session.id for session in wait(store.page(tenant, 100))[0]]


def test_turns_and_pictures_are_counted(store: SessionStore, clock: Clock) -> None:
    assert turn(store, "s", CAT) == Turn("miss", 1)
    clock.now += 5
    assert turn(store, "s", CAT, DOG, DOG) == Turn("hit", 2)
    wait(store.finish_turn("a", "s", prompt_tokens=40, cached_tokens=32, reused=1))
    session = wait(store.get("a", "s"))
    assert (session.turns, session.created, session.used) == (2, 1000.0, 1005.0)
    assert (session.tokens_original, session.tokens_kept) == (128, 9)
    assert (session.prompt_tokens, session.cached_tokens, session.images_reused) == (40, 32, 1)
    assert [(one.identity, one.uses, one.first_turn) for one in session.pictures] == [
        ("cat", 2, 1),
        ("dog", 1, 2),
    ]
    totals = wait(store.totals())
    assert (totals.sessions, totals.tokens_original, totals.tokens_kept) == (1, 128, 9)


def test_an_idle_session_expires_and_begins_anew(store: SessionStore, clock: Clock) -> None:
    turn(store, "s", CAT)
    clock.now += 61
    with pytest.raises(RequestError) as refused:
        wait(store.get("a", "s"))
    assert (refused.value.status, refused.value.code) == (404, "session_not_found")
    assert wait(store.totals()).sessions == 0
    assert turn(store, "s") == Turn("expired", 1)
    assert wait(store.get("a", "s")).pictures == []


def test_expire_says_what_ended(store: SessionStore, clock: Clock) -> None:
    turn(store, "old")
    turn(store, "old", tenant="b")
    clock.now += 30
    turn(store, "old")
    turn(store, "new")
    clock.now += 40
    (ended,) = wait(store.expire())
    assert (ended.scoped, ended.reason, ended.turns, ended.duration_s) == ("b/old", "ttl", 1, 0)
    clock.now += 40
    assert {one.scoped: one.duration_s for one in wait(store.expire())} == {"a/old": 30, "a/new": 0}


def test_the_least_recently_used_session_makes_room(store: SessionStore, clock: Clock) -> None:
    for name in ("one", "two", "three"):
        turn(store, name)
        clock.now += 1
    turn(store, "one")
    turn(store, "other", tenant="b")
    _, ended = wait(store.begin_turn("a", "four", "a/four", [], 3))
    assert [(one.id, one.reason) for one in ended] == [("two", "lru")]
    assert names(store) == ["four", "one", "three"]
    assert names(store, "b") == ["other"]


def test_a_full_session_refuses_and_stays_as_it_was(store: SessionStore) -> None:
    turn(store, "s", CAT, DOG)
    many = [SessionPicture(str(i), "auto", 64, 6) for i in range(2)]
    with pytest.raises(RequestError) as refused:
        turn(store, "s", *many)
    assert refused.value.code == "session_full"
    assert wait(store.get("a", "s")).turns == 1
    for _ in range(3):
        turn(store, "s", CAT)
    with pytest.raises(RequestError):
        turn(store, "s", CAT)


def test_tenants_have_sessions_of_their_own(store: SessionStore) -> None:
    turn(store, "s", CAT)
    assert turn(store, "s", tenant="b") == Turn("miss", 1)
    wait(store.delete("b", "s"))
    assert names(store) == ["s"]
    refusals = []
    for name in ("s", "never"):
        with pytest.raises(RequestError) as refused:
            wait(store.get("b", name))
        refusals.append((refused.value.status, refused.value.envelope()))
        with pytest.raises(RequestError):
            wait(store.delete("b", name))
    assert refusals[0] == refusals[1]


def test_a_created_session_is_there_and_its_name_taken(store: SessionStore) -> None:
    wait(store.create("a", "s", "a/s", 3))
    assert wait(store.get("a", "s")).turns == 0
    with pytest.raises(RequestError) as refused:
        wait(store.create("a", "s", "a/s", 3))
    assert refused.value.status == 409
    wait(store.create("b", "s", "b/s", 3))
    assert turn(store, "s") == Turn("hit", 1)


def test_pages_follow_each_other(store: SessionStore) -> None:
    for name in ("c", "a", "b"):
        turn(store, name)
    first, more = wait(store.page("a", 2))
    assert ([one.id for one in first], more) == (["a", "b"], True)
    rest, more = wait(store.page("a", 2, after="b"))
    assert ([one.id for one in rest], more) == (["c"], False)


def test_a_session_survives_its_process(store: SessionStore, tmp_path: Path, clock: Clock) -> None:
    turn(store, "s", CAT)
    again = SessionStore(tmp_path / "sessions.sqlite", store.limits, clock)
    assert wait(again.get("a", "s")).tokens_kept == 6
    assert turn(again, "s") == Turn("hit", 2)
    assert wait(store.get("a", "s")).turns == 2
    again.close()


@pytest.mark.parametrize("damage", [b"not a database at all" * 300, b"", None])
def test_a_broken_file_is_set_aside(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "sessions.sqlite"
    if damage is None:
        other = sqlite3.connect(path)
        other.execute("PRAGMA user_version = 99")
        other.close()
    else:
        path.write_bytes(damage)
    store = SessionStore(path, SessionLimits(60, 3, 4))
    assert turn(store, "s") == Turn("miss", 1)
    store.close()
    assert path.with_name("sessions.sqlite.broken").exists() == (damage != b"")


def test_a_file_that_cannot_be_opened_is_no_broken_one(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        SessionStore(tmp_path / "missing" / "sessions.sqlite", SessionLimits(60, 3, 4))
