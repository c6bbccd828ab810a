"""The front door in process, before a small app that stands for vLLM's."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from metacompress_server.front.desk import FrontDesk
from metacompress_server.front.door import FrontDoor
from metacompress_server.front.keys import KEYS_VARIABLE
from metacompress_server.settings import ServerSettings
from metacompress_server.tenants import Tenant, current_tenant

pytestmark = pytest.mark.anyio
CHAT = "/v1/chat/completions"
KEYS = "tenants:\n  acme: {keys: [acme-secret], max_requests: 1}\n  other: {keys: [other-secret]}\n"


def make_app(settings: ServerSettings, sequences: int = 4) -> FastAPI:
    app = FastAPI()
    app.state.front = FrontDesk.of(settings)
    app.state.front.know_engine(sequences, "<image>")
    app.state.release = asyncio.Event()
    app.add_middleware(FrontDoor)

    @app.post(CHAT)
    async def chat(request: Request) -> JSONResponse:
        body = await request.json()
        if body.get("wait"):
            await app.state.release.wait()
        headers = {key.decode(): value.decode() for key, value in request.scope["headers"]}
        seen = {"body": body, "tenant": current_tenant().name, "headers": headers}
        return JSONResponse({**seen, "state": request.state.tenant.name})

    @app.post("/v1/responses")
    async def responses(request: Request) -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            yield "data: 1\n\n"
            await app.state.release.wait()
            yield "data: 2\n\n"

        return StreamingResponse(events())

    app.add_api_route("/playground/look", chat, methods=["POST"])
    app.add_api_route("/playground", lambda: {"tenant": current_tenant().name})
    app.add_api_route("/playground/main.js", lambda: {"tenant": current_tenant().name})
    for path in ("/health", "/metrics", "/v1/models", "/v1/files"):
        app.add_api_route(path, lambda: {"tenant": current_tenant().name}, methods=["GET", "POST"])
    app.add_api_route("/tokenize", current_tenant, methods=["POST"])
    return app


def client_of(app: FastAPI, key: str | None = None) -> httpx.AsyncClient:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers)


def settings_of(**given: Any) -> ServerSettings:
    return ServerSettings.read({"max_queued_requests": 0, **given})


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)
    file = tmp_path / "keys.yaml"
    file.write_text(KEYS)
    return make_app(settings_of(api_keys_file=file))


@pytest.fixture
def app() -> FastAPI:
    return make_app(settings_of())


def refused(answer: httpx.Response, status: int, code: str | None) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["code"] == code
    assert answer.headers["x-request-id"]
    return error


async def test_a_request_comes_through_with_its_tenants_salt(app: FastAPI) -> None:
    async with client_of(app) as client:
        seen = (await client.post(CHAT, json={"messages": []})).json()
    assert seen["body"] == {"messages": [], "cache_salt": Tenant("default").cache_salt}
    assert seen["tenant"] == seen["state"] == "default"


@pytest.mark.parametrize("body", ["{}", " {  } ", '{"a": 1}\n'])
async def test_the_salt_fits_into_every_object(app: FastAPI, body: str) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    async with client_of(app) as client:
        seen = (await client.post(CHAT, content=body, headers=headers)).json()
    assert seen["body"] == {**json.loads(body), "cache_salt": Tenant("default").cache_salt}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/files", "/tokenize", "/nothing", "/docs", "/"])
async def test_with_keys_nothing_answers_without_one(
    guarded: FastAPI, path: str, method: str
) -> None:
    async with client_of(guarded) as client:
        answer = await client.request(method, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic acme-secret",
        "acme-secret",
        "Bearer acme-secre",
    ],
)
async def test_what_is_no_key(guarded: FastAPI, header: str) -> None:
    async with client_of(guarded) as client:
        answer = await client.post(CHAT, json={}, headers={"Authorization": header})
    error = refused(answer, 401, "invalid_api_key")
    assert error["type"] == "authentication_error"


async def test_probes_need_no_key_and_metrics_by_choice(
    guarded: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, "a-long-key")
    closed = make_app(settings_of(require_key_for_metrics=True))
    async with client_of(guarded) as client, client_of(closed) as other:
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/metrics")).status_code == 200
        assert (await other.get("/health")).status_code == 200
        refused(await other.get("/metrics"), 401, "invalid_api_key")


async def test_two_tenants_have_two_salts(guarded: FastAPI) -> None:
    async with (
        client_of(guarded, "acme-secret") as acme,
        client_of(guarded, "other-secret") as other,
    ):
        first = (await acme.post(CHAT, json={})).json()
        second = (await other.post(CHAT, json={})).json()
    assert (first["tenant"], second["tenant"]) == ("acme", "other")
    assert first["body"]["cache_salt"] == Tenant("acme").cache_salt
    assert second["body"]["cache_salt"] == Tenant("other").cache_salt


async def test_a_route_that_no_check_covers_is_closed(app: FastAPI) -> None:
    async with client_of(app) as client:
        refused(await client.post("/tokenize", json={}), 403, "route_closed")
        refused(await client.get("/v1/nothing"), 404, None)
        refused(await client.get(CHAT), 405, None)


@pytest.mark.parametrize(
    "name",
    [
        *("chat_template", "chat_template_kwargs", "mm_processor_kwargs", "media_io_kwargs"),
        *("kv_transfer_params", "ec_transfer_params", "cache_salt", "prompt_embeds"),
        *("vllm_xargs", "request_id", "multi_modal_data", "mm_hashes", "documents"),
    ],
)
@pytest.mark.parametrize("route", [CHAT, "/v1/completions", "/v1/responses"])
async def test_fields_that_are_the_servers(app: FastAPI, route: str, name: str) -> None:
    async with client_of(app) as client:
        for value in ({"a": 1}, None):
            error = refused(
                await client.post(route, json={name: value}), 400, "unsupported_parameter"
            )
            assert error["param"] == name


@pytest.mark.parametrize("name", ["structured_outputs", "response_format", "stream_options"])
@pytest.mark.parametrize("value", [[], "json", 3, True])
async def test_a_field_that_must_be_an_object(app: FastAPI, name: str, value: Any) -> None:
    async with client_of(app) as client:
        error = refused(await client.post(CHAT, json={name: value}), 400, "invalid_type")
        assert error["param"] == name


async def test_a_field_given_twice_does_not_slip_through(app: FastAPI) -> None:
    body = b'{"messages": [], "cache_salt": "mine", "cache_salt": null}'
    headers = {"Content-Type": "application/json"}
    async with client_of(app) as client:
        answer = await client.post(CHAT, content=body, headers=headers)
    refused(answer, 400, "unsupported_parameter")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[]", "invalid_json"),
        (b"null", "invalid_json"),
        (b"\xff\xfe{\x00}\x00", "invalid_json"),
        (b'{"a": NaN}', "invalid_json"),
        (b'{"a": 1e999}', "invalid_json"),
        (b'{"a": "\\ud800"}', "invalid_json"),
        (b'{"a": ' + b"9" * 5000 + b"}", "invalid_json"),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "invalid_json"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "invalid_json"),
    ],
)
async def test_json_that_would_surprise(app: FastAPI, body: bytes, code: str) -> None:
    headers = {"Content-Type": "application/json"}
    async with client_of(app) as client:
        refused(await client.post(CHAT, content=body, headers=headers), 400, code)


async def test_another_content_type(app: FastAPI) -> None:
    async with client_of(app) as client:
        answer = await client.post(CHAT, content=b"{}", headers={"Content-Type": "text/plain"})
    refused(answer, 415, "unsupported_media_type")


async def test_a_body_that_is_too_large_by_its_header_or_in_truth() -> None:
    app = make_app(settings_of(max_body_mib=0.001))
    headers = {"Content-Type": "application/json"}

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1000

    async with client_of(app) as client:
        declared = await client.post(CHAT, content=b" " * 2000, headers=headers)
        chunked = await client.post(CHAT, content=stream(), headers=headers)
        unknown = await client.post("/v1/files", content=stream())
    refused(declared, 413, "request_too_large")
    refused(chunked, 413, "request_too_large")
    refused(unknown, 411, "length_required")
    assert app.state.front.gate.held_bytes == 0


async def test_typed_placeholders_are_broken_up_on_every_route(app: FastAPI) -> None:
    body = {"messages": [{"role": "user", "content": "\\u003c <image>"}], "tools": ["<image>"]}
    async with client_of(app) as client:
        seen = (await client.post(CHAT, json=body)).json()["body"]
    assert "<image>" not in json.dumps(seen)
    assert seen["messages"][0]["content"] == "\\u003c < image>"


async def test_beyond_the_limit_there_is_429_and_retry_after() -> None:
    app = make_app(settings_of(max_queued_requests=1), sequences=1)
    async with client_of(app) as client:
        waiting = [asyncio.create_task(client.post(CHAT, json={"wait": True})) for _ in range(5)]
        await asyncio.sleep(0.1)
        app.state.release.set()
        answers = await asyncio.gather(*waiting)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429]
    for answer in answers:
        if answer.status_code == 429:
            refused(answer, 429, "server_overloaded")
            assert int(answer.headers["retry-after"]) >= 1
    assert app.state.front.gate.in_flight == 0


async def test_several_answers_take_several_places() -> None:
    app = make_app(settings_of(), sequences=4)
    async with client_of(app) as client:
        assert (await client.post(CHAT, json={"n": 4})).status_code == 200
        refused(await client.post(CHAT, json={"n": 5}), 429, "server_overloaded")
        assert (await client.post(CHAT, json={"n": 4})).status_code == 200


async def test_a_tenants_own_limit(guarded: FastAPI) -> None:
    async with (
        client_of(guarded, "acme-secret") as acme,
        client_of(guarded, "other-secret") as other,
    ):
        waiting = asyncio.create_task(acme.post(CHAT, json={"wait": True}))
        await asyncio.sleep(0.1)
        answer = await acme.post(CHAT, json={})
        fine = await other.post(CHAT, json={})
        guarded.state.release.set()
        assert (await waiting).status_code == 200
        again = await acme.post(CHAT, json={})
    refused(answer, 429, "rate_limit_exceeded")
    assert (fine.status_code, again.status_code) == (200, 200)


async def test_limits_per_minute() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:,"}}
    body = {"messages": [{"role": "user", "content": [picture, picture]}]}
    app = make_app(settings_of(max_requests_per_minute=3, max_images_per_minute=3))
    async with client_of(app) as client:
        assert (await client.post(CHAT, json=body)).status_code == 200
        images = await client.post(CHAT, json=body)
        assert (await client.post(CHAT, json={})).status_code == 200
        requests = await client.post(CHAT, json={})
    assert "images" in refused(images, 429, "rate_limit_exceeded")["message"]
    assert "requests" in refused(requests, 429, "rate_limit_exceeded")["message"]
    assert int(requests.headers["retry-after"]) >= 10


@pytest.mark.parametrize(
    ("settings", "body", "param"),
    [
        ({"max_choices": 2}, {"n": 3}, "n"),
        ({"max_choices": 2}, {"prompt": ["a"] * 3}, "n"),
        ({"max_messages": 1}, {"messages": [{}, {}]}, "messages"),
        ({"max_output_tokens": 5}, {"max_tokens": 6}, "max_tokens"),
        ({"max_output_tokens": 5}, {"max_completion_tokens": 6}, "max_completion_tokens"),
        ({}, {"prompt": [1, 2]}, "prompt"),
        ({}, {"prompt": [[1, 2]]}, "prompt"),
        ({}, {"echo": True}, "echo"),
        ({}, {"priority": -1}, "priority"),
        ({}, {"previous_response_id": "resp_1"}, "previous_response_id"),
        ({}, {"background": True}, "background"),
        ({}, {"input": [{"content": [{"type": "input_image", "uuid": "x"}]}]}, None),
        ({}, {"messages": [{"content": [{"type": "image_embeds"}]}]}, None),
        ({}, {"input": [{"output": [{"type": "x", "image_embeds": "AAAA"}]}]}, None),
    ],
)
async def test_more_than_a_request_may_have(
    settings: dict[str, Any], body: dict[str, Any], param: str | None
) -> None:
    async with client_of(make_app(settings_of(**settings), sequences=99)) as client:
        answer = await client.post(CHAT, json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert param is None or error["param"] == param
    assert error["code"] in ("invalid_value", "unsupported_parameter")


async def test_pictures_are_counted_before_they_are_looked_at() -> None:
    parts = [
        {"type": "input_image", "image_url": "x"},
        {"type": "file", "file": {}},
        {"image_url": 1},
    ]
    body = {"input": [{"content": parts}]}
    async with client_of(make_app(settings_of(max_images_per_request=2))) as client:
        error = refused(await client.post("/v1/responses", json=body), 400, "too_many_images")
    assert "3" in error["message"]


async def test_draining_lets_nobody_in_and_running_answers_end(app: FastAPI) -> None:
    async with client_of(app) as client:
        running = asyncio.create_task(client.post("/v1/responses", json={}))
        await asyncio.sleep(0.1)
        app.state.front.drain()
        answer = await client.post(CHAT, json={})
        app.state.release.set()
        assert (await running).text.endswith("data: 2\n\n")
    refused(answer, 503, "server_draining")
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["connection"] == "close"
    assert app.state.front.gate.in_flight == 0


async def test_request_ids_come_back_and_the_engines_are_its_own(app: FastAPI) -> None:
    async with client_of(app) as client:
        own = await client.post(CHAT, json={}, headers={"X-Request-Id": "abc-1"})
        odd = await client.post(CHAT, json={}, headers={"X-Request-Id": "a b\tc" * 50})
    assert own.headers["x-request-id"] == "abc-1"
    assert own.json()["headers"]["x-request-id"].startswith("abc-1-")
    assert len(own.json()["headers"]["x-request-id"]) == len("abc-1-") + 32
    assert len(odd.headers["x-request-id"]) == 32


async def test_a_client_that_hangs_up_during_its_body_leaves_nothing_behind(app: FastAPI) -> None:
    messages = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": CHAT,
        "raw_path": CHAT.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "http_version": "1.1",
    }
    await app(scope, receive, send)
    assert sent == []
    assert (app.state.front.gate.in_flight, app.state.front.gate.held_bytes) == (0, 0)


async def test_websockets_are_closed(app: FastAPI) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "websocket", "path": "/v1/realtime", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_the_playgrounds_files_need_no_key_and_a_look_does(guarded: FastAPI) -> None:
    picture = {"image_url": {"url": "data:,"}}
    async with client_of(guarded) as client:
        for path in ("/playground", "/playground/main.js"):
            assert (await client.get(path)).status_code == 200
        refused(await client.post("/playground/look", json=picture), 401, "invalid_api_key")
    async with client_of(guarded, "acme-secret") as client:
        seen = (await client.post("/playground/look", json=picture)).json()
    assert seen["tenant"] == "acme"


async def test_a_look_counts_as_a_picture() -> None:
    app = make_app(settings_of(max_images_per_minute=1))
    async with client_of(app) as client:
        picture = {"image_url": {"url": "data:,"}}
        assert (await client.post("/playground/look", json=picture)).status_code == 200
        answer = await client.post("/playground/look", json=picture)
    refused(answer, 429, "rate_limit_exceeded")
