"""Several HTTP processes share sessions, files, metrics; with a state folder they outlive them."""

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL.Image import Image
from running_server import ANSWER_S, RunningServer, Serve

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SETTLED_S = 15.0
"""The leading process refreshes what the engine counts every few seconds."""


def call(server: RunningServer, method: str, path: str, **more: Any) -> httpx.Response:
    """On a connection of its own, so that any of the processes may answer."""
    return httpx.request(method, server.url + path, timeout=ANSWER_S, **more).raise_for_status()


def ask(server: RunningServer, url: str, session_id: str) -> dict[str, Any]:
    body = {
        "model": "tiny",
        "max_tokens": 2,
        "session_id": session_id,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": url}},
                    {"type": "text", "text": "what is there to be seen in it, and how many?"},
                ],
            }
        ],
    }
    answer: dict[str, Any] = call(server, "POST", "/v1/chat/completions", json=body).json()
    return answer


def upload(server: RunningServer, picture: Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    form = {"files": {"file": ("cat.png", buffer.getvalue())}, "data": {"purpose": "vision"}}
    file_id: str = call(server, "POST", "/v1/files", **form).json()["id"]
    return file_id


def test_processes_share_everything_and_a_restart_keeps_it(
    checkpoint: Path,
    kept: Path,
    serve_logged: Serve,
    tmp_path: Path,
    picture: Callable[[int], Image],
) -> None:
    command = ["serve", str(checkpoint), "--compressor", str(kept), "--state-dir", str(tmp_path)]
    with serve_logged(command, ["--api-server-count", "2"]) as server:
        file_id = upload(server, picture(7))
        reused = [
            ask(server, file_id, "shared")["usage"]["metacompress"]["images_reused"]
            for _ in range(12)
        ]
        assert reused == [0] + [1] * 11
        for _ in range(6):
            session = call(server, "GET", "/v1/sessions/shared").json()
            assert (session["turns"], session["images_reused"]) == (12, 11)
        _wait_for(server, "metacompress_images_total", 11, result="reused")
        assert server.metric("metacompress_session_lookups_total", result="hit") == 11
        assert server.metric("metacompress_session_lookups_total", result="miss") == 1
        assert server.metric("metacompress_image_uploads_avoided_total") == 12
        assert server.metric("metacompress_sessions_active") == 1
        for process in server.processes:
            process.kill()
    with serve_logged(command) as server:
        assert call(server, "GET", "/v1/sessions/shared").json()["turns"] == 12
        usage = ask(server, file_id, "shared")["usage"]
        assert usage["metacompress"]["image_tokens"] == 6
        assert call(server, "GET", "/v1/sessions/shared").json()["turns"] == 13
        assert server.metric("metacompress_session_lookups_total", result="hit") == 1


def _wait_for(server: RunningServer, name: str, value: float, **labels: str) -> None:
    deadline = time.monotonic() + SETTLED_S
    while server.metric(name, **labels) != value:
        assert time.monotonic() < deadline, f"{name} is {server.metric(name, **labels)}"
        time.sleep(0.5)
