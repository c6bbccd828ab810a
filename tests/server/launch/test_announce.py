import asyncio
import json
import re
from argparse import Namespace
from types import SimpleNamespace

import pytest

from metacompress_server.launch.announce import announce_when_ready, ready_lines, server_url


def args(**changes: object) -> Namespace:
    return Namespace(**{"host": "127.0.0.1", "port": 8000, "ssl_certfile": None, **changes})


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"host": "0.0.0.0", "port": 9000}, "http://127.0.0.1:9000"),
        ({"host": None}, "http://127.0.0.1:8000"),
        ({"host": "::1"}, "http://[::1]:8000"),
        ({"host": "example.org", "ssl_certfile": "c.pem"}, "https://example.org:8000"),
    ],
)
def test_the_url_is_one_that_this_machine_can_open(changes: dict[str, object], url: str) -> None:
    assert server_url(args(**changes)) == url


def test_the_curl_line_carries_a_json_body() -> None:
    lines = ready_lines("http://127.0.0.1:8000", "metacompress-embedded")
    body = re.sub(r"'\$\(base64 .*?\)'", "AAAA", lines.split(" -d '", 1)[1].removesuffix("'"))
    request = json.loads(body)
    assert request["model"] == "metacompress-embedded"
    url = request["messages"][0]["content"][0]["image_url"]["url"]
    assert url == "data:image/png;base64,AAAA"


@pytest.mark.anyio
async def test_the_line_comes_only_when_the_server_listens(
    capsys: pytest.CaptureFixture[str],
) -> None:
    state = SimpleNamespace()
    task = asyncio.create_task(announce_when_ready(state, args(), "m"))
    await asyncio.sleep(0.12)
    assert capsys.readouterr().out == ""
    state.server = SimpleNamespace(started=True)
    await task
    printed = capsys.readouterr().out
    assert "ready on http://127.0.0.1:8000/v1" in printed
    assert "http://127.0.0.1:8000/playground" in printed
