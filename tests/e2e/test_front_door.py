"""What a stranger learns from metrics, logs and closed doors of a real server with keys."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL.Image import Image
from running_server import RunningServer, Serve

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
SECRET = "a-secret-of-acme"


@pytest.fixture(scope="module")
def guarded(
    checkpoint: Path, kept: Path, serve_logged: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    keys = tmp_path_factory.mktemp("keys") / "keys.yaml"
    keys.write_text(f"tenants: {{acme-corp: {{keys: [{SECRET}]}}}}\n")
    command = ["serve", "--api-keys-file", str(keys), str(checkpoint), "--compressor", str(kept)]
    hosts = ["--allowed-image-hosts", "pictures.example.org"]
    environment = {"VLLM_LOGGING_LEVEL": "INFO"}
    with serve_logged(command, hosts, environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def client(guarded: RunningServer) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {SECRET}"}
    with httpx.Client(base_url=guarded.url, headers=headers, timeout=60) as client:
        yield client


def ask(client: httpx.Client, url: str, **headers: str) -> httpx.Response:
    parts: list[Any] = [{"type": "image_url", "image_url": {"url": url}}]
    messages = [{"role": "user", "content": [*parts, {"type": "text", "text": "what"}]}]
    request = {"model": "tiny", "max_tokens": 2, "messages": messages}
    return client.post("/v1/chat/completions", json=request, headers=headers)


def test_every_route_of_the_app_is_closed_or_asks_for_a_key(
    guarded: RunningServer, client: httpx.Client
) -> None:
    """By the server's own list of routes, so that one of a later vLLM is noticed."""
    free = {"/health", "/ready", "/metrics", "/playground"}
    paths = client.get("/openapi.json").json()["paths"]
    assert len(paths) > 20
    for path, methods in paths.items():
        for method in methods:
            answer = httpx.request(method, guarded.url + path.replace("{", "").replace("}", ""))
            assert (answer.status_code == 401) != (path in free), (method, path)


def test_neither_logs_nor_metrics_tell_who_was_there(
    guarded: RunningServer,
    client: httpx.Client,
    picture: Callable[[int], Image],
    data_url: Callable[[Image], str],
) -> None:
    session = {"X-Session-ID": "session-of-mallory"}
    assert ask(client, data_url(picture(5)), **session).status_code == 200
    assert ask(client, "https://user:pass-word@pictures.example.org/x.png").status_code == 400
    assert ask(client, "https://pictures.example.org/private.png?token=tok-en").status_code == 400
    metrics, log = guarded.get("/metrics").text, guarded.log.read_text()
    for word in (SECRET, "session-of-mallory", "acme-corp", "pass-word", "tok-en", "private.png"):
        assert word not in metrics
        assert word not in log


def test_an_allowed_host_that_is_not_there_is_an_error_of_the_request(client: httpx.Client) -> None:
    answer = ask(client, "https://pictures.example.org/x.png")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "failed_to_download_image"


def test_the_tenants_list_shows_in_no_refusal(guarded: RunningServer) -> None:
    answer = httpx.get(f"{guarded.url}/v1/models", headers={"Authorization": "Bearer nope"})
    assert answer.status_code == 401
    assert "acme" not in answer.text
