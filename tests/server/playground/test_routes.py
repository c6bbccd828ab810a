"""The page's files and the look's body, in an app of their own with a recorded desk behind it."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from metacompress_server.errors import RequestError
from metacompress_server.playground import routes
from metacompress_server.playground.page_files import page_files

pytestmark = pytest.mark.anyio


class RecordedDesk:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []

    async def look(self, url: str, detail: str | None) -> dict[str, Any]:
        self.asked.append((url, detail))
        return {"object": "playground.look"}


async def _refuse(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestError)
    return JSONResponse(error.envelope(), status_code=error.status)


@pytest.fixture
def desk() -> RecordedDesk:
    return RecordedDesk()


@pytest.fixture
def client(desk: RecordedDesk) -> httpx.AsyncClient:
    app = FastAPI()
    app.state.looks = desk
    app.include_router(routes.router)
    app.add_exception_handler(RequestError, _refuse)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test")


class Links(HTMLParser):
    """Every address that a page names, and every script or style that stands in the page itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [given[name] or "" for name in ("src", "href") if name in given]
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)


def javascript() -> Iterator[str]:
    for name, file in page_files().items():
        if name.endswith(".js"):
            yield file.content.decode()


async def test_everything_that_the_page_names_is_served_by_this_server(
    client: httpx.AsyncClient,
) -> None:
    links = Links()
    links.feed((await client.get("/playground")).text)
    own = [address for address in links.addresses if not address.startswith(("data:", "#"))]
    assert len(own) >= 3
    for address in own:
        assert (await client.get(f"/{address}")).status_code == 200, address
    assert not links.inline, "the content security policy would not run it"


async def test_every_imported_script_is_there() -> None:
    imported = {name for text in javascript() for name in re.findall(r'from "\./([^"]+)"', text)}
    assert imported
    assert imported <= page_files().keys()


async def test_no_address_outside_and_no_text_read_as_html() -> None:
    for name, file in page_files().items():
        text = "" if name.endswith(".png") else file.content.decode()
        assert not re.search(r"https?://(?!www\.w3\.org)", text), name
        assert "innerHTML" not in text, name


@pytest.mark.parametrize("path", ["", "/main.js", "/layout.css", "/samples.json", "/000000.png"])
async def test_every_file_says_what_it_is_and_lets_nothing_else_in(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.get(f"/playground{path}")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert not [part for part in policy if "unsafe" in part or "*" in part]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-type"] != "application/octet-stream"


async def test_samples_come_with_questions(client: httpx.AsyncClient) -> None:
    samples = (await client.get("/playground/samples.json")).json()
    assert len(samples) >= 2
    for sample in samples:
        assert sample["questions"]
        picture = await client.get(f"/playground/{sample['picture']}")
        assert picture.headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    "name", ["routes.py", "..%2froutes.py", "%2fetc%2fpasswd", "dialogues.jsonl"]
)
async def test_no_other_file_is_served(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/playground/{name}")).status_code == 404


async def test_a_look_is_asked_of_the_desk(client: httpx.AsyncClient, desk: RecordedDesk) -> None:
    body = {"image_url": {"url": "data:,", "detail": "low"}, "cache_salt": "of the door"}
    answer = await client.post("/playground/look", json=body)
    assert (answer.status_code, answer.json()["object"]) == (200, "playground.look")
    assert desk.asked == [("data:,", "low")]


@pytest.mark.parametrize(
    "body",
    [{}, {"image_url": "data:,"}, {"image_url": {"url": 1}}, {"image_url": {"url": "a"}, "x": 1}],
)
async def test_a_look_without_a_picture_is_refused(
    client: httpx.AsyncClient, desk: RecordedDesk, body: dict[str, Any]
) -> None:
    assert (await client.post("/playground/look", json=body)).status_code == 422
    assert not desk.asked
