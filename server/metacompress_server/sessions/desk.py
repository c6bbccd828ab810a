"""What the HTTP side does for a session: its turns, its page, its end, here and in the engine."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metacompress_server.engine_calls import DROP_SESSION, SESSION_KV, EngineCalls, added_up
from metacompress_server.tenants import Tenant

from .ids import new_session_id, scoped_session_id
from .metrics import SessionMetrics
from .records import EndedSession, Session, SessionPicture, Turn
from .store import SessionStore


@dataclass(frozen=True)
class SessionDesk:
    """One per HTTP process.

    bytes_per_token: keys and values of one token in all layers.
    """

    store: SessionStore
    engine: EngineCalls
    metrics: SessionMetrics
    bytes_per_token: int
    _dropping: set["asyncio.Task[int]"] = field(default_factory=set)

    async def begin_turn(
        self, tenant: Tenant, session_id: str, pictures: Sequence[SessionPicture]
    ) -> Turn:
        """Note a turn, in a session that is made where there is none.

        Raises:
            RequestError: the session is full.
        """
        turn, ended = await self.store.begin_turn(
            tenant.name,
            session_id,
            scoped_session_id(tenant, session_id),
            pictures,
            tenant.max_sessions,
        )
        self.metrics.looked_up(turn.found)
        self._drop_beside(ended)
        return turn

    async def create(self, tenant: Tenant, session_id: str | None) -> Session:
        """A session without turns. Raises RequestError with status 409: the name is taken."""
        name = session_id or new_session_id()
        scoped = scoped_session_id(tenant, name)
        await self._drop(await self.store.create(tenant.name, name, scoped, tenant.max_sessions))
        return await self.store.get(tenant.name, name)

    async def delete(self, tenant: Tenant, session_id: str) -> int:
        """End a session. Returns the bytes that the engine freed.

        Raises:
            RequestError: with status 404, not yours or not there.
        """
        return await self._drop([await self.store.delete(tenant.name, session_id)])

    async def expire(self) -> None:
        """End every session that nobody used for too long."""
        await self._drop(await self.store.expire())

    async def describe(self, sessions: Sequence[Session]) -> list[dict[str, Any]]:
        """Sessions as JSON objects, with what the engine holds for them."""
        kv = await self.kv([session.scoped for session in sessions])
        held = None if kv is None else kv.get("sessions", {})
        return [
            self._describe(session, None if held is None else held.get(session.scoped, {}))
            for session in sessions
        ]

    async def kv(self, scoped: list[str]) -> dict[str, Any] | None:
        """The engine's KV outside the GPU, of these sessions and in total; None without a tier."""
        answers = await self.engine.ask(SESSION_KV, scoped)
        return added_up(answers) if answers else None

    async def refresh(self) -> None:
        """Set the gauges. For the leading process alone."""
        self.metrics.update(await self.store.totals())

    def _drop_beside(self, ended: Sequence[EndedSession]) -> None:
        """A request does not wait until the engine has dropped other sessions."""
        if ended:
            task = asyncio.ensure_future(self._drop(ended))
            self._dropping.add(task)
            task.add_done_callback(self._dropping.discard)

    async def _drop(self, ended: Sequence[EndedSession]) -> int:
        """Count the ends and free the KV, but for idle sessions: the tiers have the same TTL.

        Returns:
            Bytes that were freed.
        """
        self.metrics.ended(ended)
        freed = 0
        for session in ended:
            if session.reason != "ttl":
                freed += sum(await self.engine.ask(DROP_SESSION, session.scoped))
        return freed

    def _describe(self, session: Session, held: Mapping[str, Any] | None) -> dict[str, Any]:
        avoided = session.tokens_original - session.tokens_kept
        now = time.time()
        return {
            "id": session.id,
            "object": "session",
            "created_at": int(session.created),
            "last_used_at": int(session.used),
            "expires_at": int(session.used + self.store.limits.ttl_s),
            "age_seconds": round(now - session.created, 3),
            "turns": session.turns,
            "images": [_picture(picture) for picture in session.pictures],
            "image_tokens_original": session.tokens_original,
            "image_tokens": session.tokens_kept,
            "kv_bytes": held and {tier: held.get(f"{tier}_bytes", 0) for tier in ("host", "disk")},
            "visual_kv_bytes": session.tokens_kept * self.bytes_per_token,
            "visual_kv_avoided_bytes": avoided * self.bytes_per_token,
            "prompt_tokens": session.prompt_tokens,
            "cached_tokens": session.cached_tokens,
            "images_reused": session.images_reused,
        }


def _picture(picture: SessionPicture) -> dict[str, Any]:
    return {
        "id": picture.identity[:16],
        "detail": picture.detail,
        "tokens_original": picture.tokens_original,
        "tokens": picture.tokens_kept,
        "first_turn": picture.first_turn,
        "turns": picture.uses,
    }
