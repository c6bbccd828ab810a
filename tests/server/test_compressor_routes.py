from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from metacompress_server import compressor_routes
from metacompress_server.errors import RequestError
from metacompress_server.settings import EXPORTED, ServerSettings

pytestmark = pytest.mark.anyio


class Desk:
    def __init__(self) -> None:
        self.loaded: list[str] = []

    async def describe(self) -> dict[str, Any]:
        return {"object": "compressor", "digest": "d"}

    async def reload(self, name: str) -> dict[str, Any]:
        self.loaded.append(name)
        return await self.describe()


async def _refuse(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestError)
    return JSONResponse(error.envelope(), status_code=error.status)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def client(desk: Desk) -> httpx.AsyncClient:
    app = FastAPI()
    app.state.compressor = desk
    app.include_router(compressor_routes.router)
    app.add_exception_handler(RequestError, _refuse)
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


def use(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
    text = ServerSettings(**settings).model_dump_json()
    monkeypatch.setenv(EXPORTED, text)


async def test_the_admin_reloads_by_name(
    client: httpx.AsyncClient, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, compressor_dir=Path("artifacts"))
    answer = await client.post("/v1/compressor/reload", json={"compressor": "v2.1"})
    assert (answer.status_code, answer.json()["digest"]) == (200, "d")
    assert desk.loaded == ["v2.1"]
    assert (await client.get("/v1/compressor")).status_code == 200


@pytest.mark.parametrize(
    "settings", [{}, {"compressor_dir": Path("artifacts"), "admin_tenant": "operations"}]
)
async def test_for_everybody_else_there_is_no_such_route(
    client: httpx.AsyncClient,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
) -> None:
    use(monkeypatch, **settings)
    for answer in (
        await client.get("/v1/compressor"),
        await client.post("/v1/compressor/reload", json={"compressor": "v2"}),
    ):
        assert answer.status_code == 404
        assert answer.json()["error"]["message"] == "Not Found"
    assert desk.loaded == []


@pytest.mark.parametrize("name", ["", ".", "..", "../v2", "a/b", "/etc", ".hidden", "x" * 65])
async def test_only_a_plain_name_is_a_name(
    client: httpx.AsyncClient, desk: Desk, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    use(monkeypatch, compressor_dir=Path("artifacts"))
    answer = await client.post("/v1/compressor/reload", json={"compressor": name})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "compressor"
    assert desk.loaded == []
