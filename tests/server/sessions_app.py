"""The session and file routes in an app of their own, with a recorded engine in vLLM's place."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CollectorRegistry

from metacompress_server.engine_calls import DROP_SESSION, SESSION_KV
from metacompress_server.errors import RequestError
from metacompress_server.files import routes as file_routes
from metacompress_server.files.routes import FileDesk
from metacompress_server.files.store import FileStore
from metacompress_server.sessions import routes as session_routes
from metacompress_server.sessions.desk import SessionDesk
from metacompress_server.sessions.metrics import SessionMetrics
from metacompress_server.sessions.records import SessionLimits
from metacompress_server.sessions.store import SessionStore
from metacompress_server.tenants import Tenant, enter_tenant

BYTES_PER_TOKEN = 100


class RecordedEngine:
    """Holds KV by scoped session id, as a session tier would.

    tier: whether there is one.
    """

    def __init__(self, *, tier: bool = True) -> None:
        self.tier = tier
        self.held: dict[str, int] = {}
        self.dropped: list[str] = []

    async def ask(self, name: str, *args: Any) -> list[Any]:
        if not self.tier:
            return []
        if name == SESSION_KV:
            return [self._kv(*args)]
        assert name == DROP_SESSION
        self.dropped += args
        return [sum(self.held.pop(name, 0) for name in args)]

    def _kv(self, wanted: list[str]) -> dict[str, Any]:
        sessions = {name: {"host_bytes": self.held[name]} for name in wanted if name in self.held}
        return {"sessions": sessions, "totals": {"host_bytes": sum(self.held.values())}}


class Clock:
    """This moment, until it is turned."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class App:
    """The app and what is in it; `get`, `post`, `delete` as a tenant."""

    def __init__(
        self, folder: Path, check: Callable[[bytes], Awaitable[object]], *, tier: bool = True
    ) -> None:
        self.clock = Clock()
        self.registry = CollectorRegistry()
        self.engine = RecordedEngine(tier=tier)
        self.sessions = SessionDesk(
            store=SessionStore(folder / "sessions.sqlite", SessionLimits(60, 8, 8), self.clock),
            engine=self.engine,
            metrics=SessionMetrics("m", BYTES_PER_TOKEN, self.registry),
            bytes_per_token=BYTES_PER_TOKEN,
        )
        self.files = FileDesk(FileStore(folder / "files.sqlite", 10_000), check, 3600.0, 5000)
        self.app = FastAPI()
        self.app.state.sessions = self.sessions
        self.app.state.files = self.files
        self.app.include_router(session_routes.router)
        self.app.include_router(file_routes.router)
        self.app.add_exception_handler(RequestError, _refuse)
        self.app.middleware("http")(_as_tenant)

    def client(self) -> httpx.AsyncClient:
        """One client; whose requests they are stands in `X-Tenant`."""
        transport = httpx.ASGITransport(app=self.app)
        return httpx.AsyncClient(transport=transport, base_url="http://server")

    def sample(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, {"model_name": "m", **labels})

    def close(self) -> None:
        self.sessions.store.close()
        self.files.store.close()


async def _as_tenant(
    request: Request, answer: Callable[[Request], Awaitable[Response]]
) -> Response:
    enter_tenant(Tenant(request.headers.get("X-Tenant", "a"), max_sessions=3, max_files=3))
    return await answer(request)


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestError)
    return JSONResponse(error.envelope(), status_code=error.status)
