import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from openai import AsyncOpenAI, NotFoundError
from sessions_app import App

from metacompress_server.errors import RequestError

Result = TypeVar("Result")

PNG = b"\x89PNG\r\n\x1a\n"


async def check(content: bytes) -> None:
    if not content.startswith(PNG) or len(content) > 5000:
        raise RequestError("no picture", param="file", code="invalid_image")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    app = App(tmp_path, check)
    yield app
    app.close()


def with_openai(
    app: App, work: Callable[[AsyncOpenAI], Awaitable[Result]], tenant: str = "a"
) -> Result:
    http_client: Any = app.client()  # the client's types name a fork of httpx

    async def run() -> Result:
        async with AsyncOpenAI(
            base_url="http://server/v1",
            api_key="none",
            http_client=http_client,
            default_headers={"X-Tenant": tenant},
            max_retries=0,
        ) as client:
            return await work(client)

    return asyncio.run(run())


def upload(app: App, content: bytes = PNG + b"cat", tenant: str = "a", **more: Any) -> Any:
    return with_openai(
        app,
        lambda client: client.files.create(file=("cat.png", content), purpose="vision", **more),
        tenant,
    )


def call(app: App, method: str, path: str, **more: Any) -> httpx.Response:
    async def request() -> httpx.Response:
        async with app.client() as client:
            return await client.request(method, path, **more)

    return asyncio.run(request())


def test_the_official_client_stores_and_finds_a_picture(app: App) -> None:
    async def work(client: AsyncOpenAI) -> None:
        made = await client.files.create(file=("cat.png", PNG + b"cat"), purpose="vision")
        assert (made.object, made.bytes, made.filename, made.purpose, made.status) == (
            "file",
            11,
            "cat.png",
            "vision",
            "processed",
        )
        assert made.expires_at == made.created_at + 3600
        assert await client.files.retrieve(made.id) == made
        assert [file.id async for file in client.files.list()] == [made.id]
        assert (await client.files.content(made.id)).read() == PNG + b"cat"
        assert (await client.files.delete(made.id)).deleted
        with pytest.raises(NotFoundError):
            await client.files.retrieve(made.id)

    with_openai(app, work)


def test_the_official_client_walks_all_pages(app: App) -> None:
    made = [upload(app).id for _ in range(3)]

    async def work(client: AsyncOpenAI) -> list[str]:
        return [file.id async for file in client.files.list(limit=1, order="asc")]

    assert with_openai(app, work) == made


def test_not_yours_reads_like_not_there(app: App) -> None:
    mine = upload(app).id
    for method, end in (("GET", ""), ("DELETE", ""), ("GET", "/content")):
        answers = [
            call(app, method, f"/v1/files/{name}{end}", headers={"X-Tenant": "b"})
            for name in (mine, "file-" + "0" * 32)
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].content == answers[1].content
        assert answers[0].json()["error"]["code"] == "file_not_found"
    assert with_openai(app, functools.partial(_names), "b") == []
    assert with_openai(app, functools.partial(_names)) == [mine]


async def _names(client: AsyncOpenAI) -> list[str]:
    return [file.id async for file in client.files.list()]


def test_a_client_may_ask_for_a_shorter_life(app: App) -> None:
    file = upload(app, expires_after={"anchor": "created_at", "seconds": 600})
    assert file.expires_at == file.created_at + 600


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"purpose": "fine-tune"}, "invalid_value"),
        ({}, "invalid_value"),
        ({"purpose": "vision", "expires_after[seconds]": "7200"}, "invalid_value"),
        ({"purpose": "vision", "expires_after[seconds]": "soon"}, "invalid_value"),
        ({"purpose": "vision", "expires_after[anchor]": "last_use"}, "invalid_value"),
    ],
)
def test_a_form_that_makes_no_sense(app: App, form: dict[str, str], code: str) -> None:
    answer = call(app, "POST", "/v1/files", data=form, files={"file": ("x", PNG)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_what_is_no_picture_is_not_kept(app: App) -> None:
    form = {"purpose": "vision"}
    for content in (b"hello", PNG * 1000):
        answer = call(app, "POST", "/v1/files", data=form, files={"file": ("x", content)})
        assert answer.json()["error"]["code"] == "invalid_image"
    missing = call(app, "POST", "/v1/files", data={**form, "file": "text"})
    assert missing.json()["error"]["code"] == "missing_required_parameter"
    assert with_openai(app, _names) == []


def test_a_tenant_may_have_so_many(app: App) -> None:
    for _ in range(3):
        upload(app)
    answer = call(app, "POST", "/v1/files", data={"purpose": "vision"}, files={"file": ("x", PNG)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "file_storage_full")
    upload(app, tenant="b")


def test_names_of_files_are_only_names(app: App) -> None:
    answer = call(
        app,
        "POST",
        "/v1/files",
        data={"purpose": "user_data"},
        files={"file": ("../../\x07etc/pass\u202ewd" + "x" * 300, PNG)},
    )
    name = answer.json()["filename"]
    assert len(name) <= 255
    assert name.isprintable()
    content = call(app, "GET", f"/v1/files/{answer.json()['id']}/content")
    assert content.headers["content-type"] == "image/png"
    assert content.headers["x-content-type-options"] == "nosniff"
