"""Logs as JSON lines and spans in the client's trace, of a real server with the embedded model."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from otlp_collector import Collector, collector
from running_server import RunningServer, Serve

from metacompress_compressor.embedded import pictures_dir
from metacompress_server.tenants import Tenant

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

KEY = "a-secret-of-acme"
SESSION = "mallory@example.org"
QUESTION = "Where is the airplane?"
OURS = {"metacompress.intake", "metacompress.encode", "metacompress.compress"}
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
ENVIRONMENT = {
    "METACOMPRESS_API_KEYS": f"acme={KEY}",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
    "OTEL_BSP_SCHEDULE_DELAY": "200",
    "VLLM_LOGGING_LEVEL": "INFO",
}


@pytest.fixture(scope="module")
def collected() -> Iterator[Collector]:
    with collector() as running:
        yield running


@pytest.fixture(scope="module")
def server(serve_logged: Serve, collected: Collector) -> Iterator[RunningServer]:
    flags = ["--log-format", "json", "--otlp-traces-endpoint", collected.endpoint]
    options = {"small": False, "environment": ENVIRONMENT, "stderr_apart": True}
    with serve_logged(["serve"], flags, **options) as running:
        yield running


@pytest.fixture(scope="module")
def ask(
    server: RunningServer, data_url_of_file: Callable[[Path], str]
) -> Callable[..., httpx.Response]:
    """One turn about a sample picture, by its number."""
    files = sorted(pictures_dir().glob("*.png"))

    def post(number: int, route: str = "chat/completions", **more: Any) -> httpx.Response:
        url = data_url_of_file(files[number])
        parts = [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": QUESTION},
        ]
        if route == "responses":
            parts = [
                {"type": "input_image", "image_url": url, "detail": "auto"},
                {"type": "input_text", "text": QUESTION},
            ]
        name = "input" if route == "responses" else "messages"
        headers = {"Authorization": f"Bearer {KEY}", **more.pop("headers", {})}
        body = {"model": "metacompress-embedded", name: [{"role": "user", "content": parts}]}
        return server.post(f"/v1/{route}", json={**body, **more}, headers=headers)

    return post


@pytest.fixture(scope="module")
def traced(ask: Callable[..., httpx.Response], collected: Collector) -> list[Any]:
    """The spans of a request that came with a trace of the client's."""
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Session-ID": SESSION}
    ask(0, headers=headers).raise_for_status()
    return wait_for(collected, TRACE, len(OURS) + 3)


def wait_for(collected: Collector, trace_id: str, count: int) -> list[Any]:
    deadline = time.monotonic() + 20
    while len(collected.trace(trace_id)) < count:
        assert time.monotonic() < deadline, [span.name for span in collected.trace(trace_id)]
        time.sleep(0.2)
    return collected.trace(trace_id)


def told(server: RunningServer) -> list[dict[str, Any]]:
    """The log's lines so far."""
    return [json.loads(line) for line in server.log.read_text().splitlines() if line[:1] == "{"]


def access(server: RunningServer, request_id: str) -> dict[str, Any]:
    """The access line of a request."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for line in told(server):
            if line["logger"] == "metacompress.access" and request_id in line["request_id"]:
                return line
        time.sleep(0.1)
    raise AssertionError(f"no access line for {request_id}")


def test_spans_of_ours_and_of_vllm_are_below_the_request_in_the_clients_trace(
    traced: list[Any],
) -> None:
    by_name = {span.name: span for span in traced}
    request = by_name["POST /v1/chat/completions"]
    assert request.parent_span_id.hex() == PARENT
    below = {name: span for name, span in by_name.items() if span is not request}
    assert below.keys() == OURS | {"metacompress.prefill", "llm_request"}
    assert {span.parent_span_id for span in below.values()} == {request.span_id}


def test_spans_lie_where_the_work_was(traced: list[Any]) -> None:
    by_name = {span.name: span for span in traced}
    request, prefill = by_name["POST /v1/chat/completions"], by_name["metacompress.prefill"]
    encode, compress = by_name["metacompress.encode"], by_name["metacompress.compress"]
    slack = 5_000_000  # clocks of two processes, in ns
    for span in (prefill, encode, compress, by_name["metacompress.intake"]):
        assert request.start_time_unix_nano <= span.start_time_unix_nano + slack
        assert span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= request.end_time_unix_nano + slack
    assert encode.end_time_unix_nano <= compress.start_time_unix_nano + slack
    assert prefill.start_time_unix_nano <= encode.start_time_unix_nano + slack
    assert compress.end_time_unix_nano <= prefill.end_time_unix_nano + slack


def test_the_request_span_tells_what_was_saved(traced: list[Any]) -> None:
    (request,) = (span for span in traced if span.name.startswith("POST"))
    attributes = {pair.key: pair.value for pair in request.attributes}
    assert attributes["http.route"].string_value == "/v1/chat/completions"
    assert attributes["http.response.status_code"].int_value == httpx.codes.OK
    assert attributes["metacompress.image_tokens_original"].int_value == 256
    assert attributes["metacompress.image_tokens"].int_value == 25


def test_a_known_picture_has_no_spans_of_tower_and_mapping(
    ask: Callable[..., httpx.Response], traced: list[Any], collected: Collector
) -> None:
    trace = TRACE[::-1]
    headers = {"traceparent": f"00-{trace}-{PARENT}-01"}
    answer = ask(0, headers=headers, stream=True)
    assert answer.text.endswith("data: [DONE]\n\n")
    names = [span.name for span in wait_for(collected, trace, 4)]
    assert sorted(names) == [
        "POST /v1/chat/completions",
        "llm_request",
        "metacompress.intake",
        "metacompress.prefill",
    ]


def test_a_response_without_a_trace_begins_one(
    ask: Callable[..., httpx.Response], collected: Collector
) -> None:
    ask(1, "responses").raise_for_status()
    deadline = time.monotonic() + 20
    while not (roots := [one for one in collected.spans if one.name == "POST /v1/responses"]):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert roots[0].parent_span_id == b""
    names = {span.name for span in wait_for(collected, roots[0].trace_id.hex(), len(OURS) + 3)}
    assert names >= OURS | {"metacompress.prefill", "llm_request"}


def test_a_refused_picture_is_an_error_of_its_span_alone(
    ask: Callable[..., httpx.Response], collected: Collector, server: RunningServer
) -> None:
    trace = TRACE[1:] + "1"
    parts = [{"type": "image_url", "image_url": {"url": "https://user:pass-word@host/x.png"}}]
    body = {"model": "metacompress-embedded", "messages": [{"role": "user", "content": parts}]}
    headers = {"Authorization": f"Bearer {KEY}", "traceparent": f"00-{trace}-{PARENT}-01"}
    assert server.post("/v1/chat/completions", json=body, headers=headers).status_code == 400
    spans = {span.name: span for span in wait_for(collected, trace, 2)}
    intake = spans["metacompress.intake"]
    assert (intake.status.code, intake.status.message, len(intake.events)) == (2, "", 0)


def test_every_line_of_the_log_is_a_json_object(server: RunningServer, traced: list[Any]) -> None:
    text = [line for line in server.log.read_text().splitlines() if line[:1] != "{"]
    assert text == []
    lines = told(server)
    assert {"metacompress", "metacompress.access"} <= {line["logger"] for line in lines}
    assert any(line["logger"].startswith("vllm.") for line in lines)
    assert any(line["logger"].startswith("uvicorn") for line in lines)
    assert any("EngineCore" in line["process"] for line in lines)
    assert all({"time", "level", "message"} <= line.keys() for line in lines)


def test_a_request_has_one_access_line(
    ask: Callable[..., httpx.Response], server: RunningServer
) -> None:
    answer = ask(0, headers={"X-Session-ID": SESSION, "X-Request-Id": "mine-17"})
    line = access(server, "mine-17")
    assert answer.headers["x-request-id"] == "mine-17"
    scoped = hashlib.sha256(f"{Tenant('acme').cache_salt}\n{SESSION}".encode()).hexdigest()
    assert line["session"] == scoped[:16]
    assert (line["tenant"], line["method"], line["status"]) == ("acme", "POST", 200)
    assert line["route"] == "/v1/chat/completions"
    assert 0 < line["duration_s"] < 60
    ids = [one.get("request_id", "") for one in told(server) if "status" in one]
    assert sum("mine-17" in one for one in ids) == 1


def test_neither_log_nor_spans_hold_content_keys_or_ids_of_clients(
    ask: Callable[..., httpx.Response],
    server: RunningServer,
    collected: Collector,
    traced: list[Any],
) -> None:
    answer = ask(1, headers={"X-Session-ID": SESSION}).raise_for_status().json()
    headers = {"Authorization": f"Bearer {KEY}"}
    httpx.get(f"{server.url}/v1/sessions/{SESSION}", headers=headers).raise_for_status()
    httpx.get(f"{server.url}/v1/models?token=tok-en", headers={"Authorization": "Bearer wrong"})
    time.sleep(1)
    written = server.log.read_bytes() + b"".join(collected.raw)
    said = answer["choices"][0]["message"]["content"]
    pictures = "iVBORw0KGgo"  # how every PNG begins in base64
    for word in (KEY, "wrong", SESSION, "pass-word", "tok-en", QUESTION, said, pictures):
        assert word.encode() not in written, word
