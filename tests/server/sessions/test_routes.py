import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sessions_app import BYTES_PER_TOKEN, App

from metacompress_server.sessions.ids import scoped_session_id
from metacompress_server.sessions.records import SessionPicture
from metacompress_server.tenants import Tenant

A = Tenant("a", max_sessions=3)
CAT = SessionPicture("c" * 64, "auto", 64, 6)


async def accept(content: bytes) -> None:
    del content


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    app = App(tmp_path, accept)
    yield app
    app.close()


def call(app: App, method: str, path: str, tenant: str = "a", **more: Any) -> httpx.Response:
    async def request() -> httpx.Response:
        async with app.client() as client:
            return await client.request(method, path, headers={"X-Tenant": tenant}, **more)

    return asyncio.run(request())


def test_a_session_tells_what_is_kept_and_what_was_avoided(app: App) -> None:
    asyncio.run(app.sessions.begin_turn(A, "chat 1", [CAT]))
    asyncio.run(app.sessions.begin_turn(A, "chat 1", [CAT]))
    app.engine.held[scoped_session_id(A, "chat 1")] = 3200
    session = call(app, "GET", "/v1/sessions/chat 1").json()
    assert {key: session[key] for key in ("id", "object", "turns", "kv_bytes")} == {
        "id": "chat 1",
        "object": "session",
        "turns": 2,
        "kv_bytes": {"host": 3200, "disk": 0},
    }
    assert (session["image_tokens_original"], session["image_tokens"]) == (64, 6)
    assert session["visual_kv_bytes"] == 6 * BYTES_PER_TOKEN
    assert session["visual_kv_avoided_bytes"] == 58 * BYTES_PER_TOKEN
    assert session["images"] == [
        {
            "id": "c" * 16,
            "detail": "auto",
            "tokens_original": 64,
            "tokens": 6,
            "first_turn": 1,
            "turns": 2,
        }
    ]
    assert 0 <= session["age_seconds"] < 60
    assert session["expires_at"] == session["last_used_at"] + 60


def test_without_a_tier_no_bytes_are_made_up(tmp_path: Path) -> None:
    app = App(tmp_path, accept, tier=False)
    asyncio.run(app.sessions.begin_turn(A, "s", [CAT]))
    assert call(app, "GET", "/v1/sessions/s").json()["kv_bytes"] is None
    assert call(app, "DELETE", "/v1/sessions/s").json()["freed_bytes"] == 0
    app.close()


def test_delete_frees_the_bytes_in_the_engine_and_in_the_gauges(app: App) -> None:
    asyncio.run(app.sessions.begin_turn(A, "s", [CAT]))
    app.engine.held[scoped_session_id(A, "s")] = 3200
    asyncio.run(app.sessions.refresh())
    gauges = [
        "metacompress_session_visual_kv_bytes",
        "metacompress_session_visual_kv_avoided_bytes",
        "metacompress_sessions_active",
    ]
    assert [app.sample(name) for name in gauges] == [600, 5800, 1]
    assert call(app, "DELETE", "/v1/sessions/s").json() == {
        "id": "s",
        "object": "session.deleted",
        "deleted": True,
        "freed_bytes": 3200,
    }
    assert app.engine.dropped == [scoped_session_id(A, "s")]
    asyncio.run(app.sessions.refresh())
    assert [app.sample(name) for name in gauges] == [0, 0, 0]
    assert app.sample("metacompress_session_evictions_total", reason="deleted") == 1
    assert call(app, "DELETE", "/v1/sessions/s").status_code == 404


def test_create_with_a_name_or_without(app: App) -> None:
    made = call(app, "POST", "/v1/sessions", json={"id": "with/slash"})
    assert (made.status_code, made.json()["id"], made.json()["turns"]) == (201, "with/slash", 0)
    assert call(app, "GET", "/v1/sessions/with/slash").status_code == 200
    again = call(app, "POST", "/v1/sessions", json={"id": "with/slash"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "session_exists")
    assert call(app, "POST", "/v1/sessions", "b", json={"id": "with/slash"}).status_code == 201
    assert call(app, "POST", "/v1/sessions").json()["id"].startswith("sess-")
    bad = call(app, "POST", "/v1/sessions", json={"id": "a\nb"})
    assert (bad.status_code, bad.json()["error"]["code"]) == (400, "invalid_session_id")
    assert call(app, "POST", "/v1/sessions", json={"ttl": 1}).status_code == 422


def test_pages(app: App) -> None:
    for name in ("b", "a", "c"):
        call(app, "POST", "/v1/sessions", json={"id": name})
    first = call(app, "GET", "/v1/sessions?limit=2").json()
    assert [one["id"] for one in first["data"]] == ["a", "b"]
    assert (first["first_id"], first["last_id"], first["has_more"]) == ("a", "b", True)
    rest = call(app, "GET", "/v1/sessions?limit=2&after=b").json()
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (["c"], False)
    assert call(app, "GET", "/v1/sessions", "b").json()["data"] == []
    assert call(app, "GET", "/v1/sessions?limit=0").status_code == 422


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_not_yours_reads_like_not_there(app: App, method: str) -> None:
    asyncio.run(app.sessions.begin_turn(A, "s", [CAT]))
    app.engine.held[scoped_session_id(A, "s")] = 3200
    foreign = call(app, method, "/v1/sessions/s", "b")
    missing = call(app, method, "/v1/sessions/t", "b")
    assert foreign.status_code == missing.status_code == 404
    assert foreign.content == missing.content
    assert foreign.json()["error"]["code"] == "session_not_found"
    assert app.engine.dropped == []
    assert call(app, "GET", "/v1/sessions/s").status_code == 200


def test_a_session_that_makes_room_is_dropped_in_the_engine_too(app: App) -> None:
    async def turns() -> None:
        for name in ("one", "two", "three", "four"):
            await app.sessions.begin_turn(A, name, [])
        await asyncio.sleep(0)

    asyncio.run(turns())
    assert app.engine.dropped == [scoped_session_id(A, "one")]
    assert app.sample("metacompress_session_evictions_total", reason="lru") == 1
    assert app.sample("metacompress_session_lookups_total", result="miss") == 4
    assert app.sample("metacompress_session_turns_count") == 1


def test_idle_sessions_are_left_to_the_ttl_of_the_tiers(app: App) -> None:
    asyncio.run(app.sessions.begin_turn(A, "s", [CAT]))
    app.clock.now += 61
    asyncio.run(app.sessions.expire())
    assert app.engine.dropped == []
    assert app.sample("metacompress_session_evictions_total", reason="ttl") == 1
    asyncio.run(app.sessions.begin_turn(A, "s", [CAT]))
    app.clock.now += 61
    asyncio.run(app.sessions.begin_turn(A, "s", [CAT]))
    assert app.sample("metacompress_session_lookups_total", result="expired") == 1
