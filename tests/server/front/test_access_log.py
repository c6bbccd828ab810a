"""One line per request, in process, before a small app that stands for vLLM's."""

import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from metacompress_server.front.access_log import logger
from metacompress_server.front.desk import FrontDesk
from metacompress_server.front.door import FrontDoor
from metacompress_server.settings import ServerSettings

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger.name)


def make_app(**settings: Any) -> FastAPI:
    app = FastAPI()
    app.state.front = FrontDesk.of(ServerSettings.read(settings))
    app.add_middleware(FrontDoor)
    app.add_api_route("/v1/sessions/{session_id}", lambda session_id: session_id)
    app.add_api_route("/health", lambda: None)

    @app.get("/v1/models")
    def fail() -> None:
        raise RuntimeError("broken")

    return app


async def ask(app: FastAPI, path: str, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path, headers=headers)


def fields(caplog: pytest.LogCaptureFixture) -> list[tuple[Any, ...]]:
    names = ("method", "route", "status")
    return [
        tuple(record.fields[name] for name in names)  # type: ignore[attr-defined]
        for record in caplog.records
        if record.name == logger.name
    ]


async def test_a_request_is_told_by_its_template(caplog: pytest.LogCaptureFixture) -> None:
    answer = await ask(make_app(), "/v1/sessions/of-mallory?key=secret")
    assert fields(caplog) == [("GET", "/v1/sessions/{session_id}", 200)]
    assert "mallory" not in caplog.text
    assert "secret" not in caplog.text
    assert answer.headers["x-request-id"] in caplog.text
    (record,) = caplog.records
    assert 0 < record.fields["duration_s"] < 10  # type: ignore[attr-defined]


async def test_failures_are_told_with_their_status(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    await ask(make_app(), "/v1/models")
    keys = tmp_path / "keys.yaml"
    keys.write_text("tenants: {acme: {keys: [a-secret-key]}}")
    await ask(make_app(api_keys_file=str(keys)), "/v1/models", Authorization="Bearer wrong-key")
    assert fields(caplog) == [("GET", "/v1/models", 500), ("GET", None, 401)]
    levels = [one.levelname for one in caplog.records if one.name == logger.name]
    assert levels == ["ERROR", "INFO"]
    assert "wrong-key" not in caplog.text


async def test_probes_are_told_only_when_they_fail(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app()
    await ask(app, "/health")
    assert fields(caplog) == []
    await ask(app, "/ready")
    assert fields(caplog) == [("GET", None, 404)]


async def test_it_can_be_switched_off(caplog: pytest.LogCaptureFixture) -> None:
    await ask(make_app(access_log=False), "/v1/sessions/x")
    assert fields(caplog) == []
