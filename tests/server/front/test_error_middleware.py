import json

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

from metacompress_server.front.error_middleware import OpenAIErrors


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    app.add_middleware(OpenAIErrors)
    app.add_middleware(OpenAIErrors)

    @app.get("/refused")
    async def refused() -> JSONResponse:
        error = {"message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404}
        return JSONResponse({"error": error}, status_code=404)

    @app.get("/crash")
    async def crash() -> None:
        raise RuntimeError("secret at 10.0.0.1")

    @app.get("/text")
    async def text() -> PlainTextResponse:
        return PlainTextResponse("gone", status_code=410)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(iter(["data: 1\n\n", "data: 2\n\n"]), status_code=200)

    return app


async def get(app: FastAPI, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path)


@pytest.mark.anyio
async def test_errors_are_rewritten_once_and_their_length_fits(app: FastAPI) -> None:
    answer = await get(app, "/refused")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.anyio
async def test_an_exception_that_nobody_caught_says_nothing_of_itself(app: FastAPI) -> None:
    answer = await get(app, "/crash")
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    assert "10.0.0.1" not in answer.text


@pytest.mark.anyio
async def test_unknown_routes_get_the_envelope(app: FastAPI) -> None:
    answer = await get(app, "/nothing/here")
    assert answer.status_code == 404
    assert json.loads(answer.text)["error"].keys() == {"message", "type", "param", "code"}


@pytest.mark.anyio
async def test_everything_else_passes_untouched(app: FastAPI) -> None:
    assert (await get(app, "/text")).text == "gone"
    assert (await get(app, "/stream")).text == "data: 1\n\ndata: 2\n\n"
