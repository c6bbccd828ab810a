"""Sessions, uploaded pictures and tenants, through OpenAI's own client and a real server."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from PIL.Image import Image
from running_server import ANSWER_S, RunningServer, Serve
from tiny_llava import NUM_VISUAL_TOKENS

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

KEYS = {"acme": "sk-acme-0123456789", "globex": "sk-globex-0123456789"}
KEPT = 6
MAX_IMAGES = 4
BYTES_PER_TOKEN = 2 * 2 * 1 * 32 * 4
"""Keys and values, two layers, one head, 32 numbers of float32."""

Content = list[dict[str, Any]]


@pytest.fixture(scope="module")
def guarded(checkpoint: Path, kept: Path, serve_logged: Serve) -> Iterator[RunningServer]:
    command = ["serve", str(checkpoint), "--compressor", str(kept)]
    command += ["--session-kv-gib", "0.05", "--encoder-cache-gib", "0.01"]
    command += ["--max-images-per-session", str(MAX_IMAGES)]
    pairs = ",".join(f"{tenant}={key}" for tenant, key in KEYS.items())
    with serve_logged(command, environment={"METACOMPRESS_API_KEYS": pairs}) as running:
        yield running


class Client:
    """One tenant's client."""

    def __init__(self, server: RunningServer, tenant: str) -> None:
        self.server = server
        self.headers = {"Authorization": f"Bearer {KEYS[tenant]}"}
        self.openai = OpenAI(base_url=f"{server.url}/v1", api_key=KEYS[tenant], max_retries=0)

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**self.headers, **more.pop("headers", {})}
        url = self.server.url + path
        return httpx.request(method, url, headers=headers, timeout=ANSWER_S, **more)

    def chat(self, content: Content | str, **more: Any) -> httpx.Response:
        messages = [{"role": "user", "content": content}]
        body = {"model": "tiny", "messages": messages, "max_tokens": 4, "temperature": 0}
        headers = more.pop("headers", {})
        return self.call("POST", "/v1/chat/completions", json={**body, **more}, headers=headers)

    def found(self, content: Content, **more: Any) -> tuple[int, int]:
        """Cached tokens and reused pictures of a request."""
        usage = self.chat(content, **more).raise_for_status().json()["usage"]
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        return cached, usage["metacompress"]["images_reused"]

    def upload(self, picture: Image) -> str:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return self.openai.files.create(file=("cat.png", buffer.getvalue()), purpose="vision").id

    def session(self, session_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.call("GET", f"/v1/sessions/{session_id}").json()
        return answer


@pytest.fixture(scope="module")
def acme(guarded: RunningServer) -> Iterator[Client]:
    client = Client(guarded, "acme")
    yield client
    client.openai.close()


@pytest.fixture(scope="module")
def globex(guarded: RunningServer) -> Iterator[Client]:
    client = Client(guarded, "globex")
    yield client
    client.openai.close()


@pytest.fixture(scope="module")
def shown(
    picture: Callable[[int], Image], data_url: Callable[[Image], str]
) -> Callable[[int], Content]:
    """A picture and enough text behind it to fill blocks."""

    def show(seed: int) -> Content:
        return by_url(data_url(picture(seed)))

    return show


def by_url(url: str, text: str = "tell me all that there is to tell of it, ") -> Content:
    return [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": text * 2},
    ]


@pytest.mark.parametrize(
    "named",
    [
        {"headers": {"X-Session-ID": "by header"}},
        {"session_id": "by field"},
        {"prompt_cache_key": "by OpenAI's name"},
        {"session_id": "both", "headers": {"X-Session-ID": "both"}},
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_answer_names_its_session(acme: Client, named: dict[str, Any], stream: bool) -> None:
    wanted = named.get("headers", named).copy().popitem()[1]
    answer = acme.chat("hi", stream=stream, **{**named, "headers": named.get("headers", {})})
    assert (answer.status_code, answer.headers["X-Session-ID"]) == (200, wanted)
    assert answer.text.rstrip().endswith("[DONE]") == stream


def test_a_request_without_a_session_gets_none(acme: Client) -> None:
    before = {one["id"] for one in acme.call("GET", "/v1/sessions").json()["data"]}
    assert "X-Session-ID" not in acme.chat("hi").headers
    assert {one["id"] for one in acme.call("GET", "/v1/sessions").json()["data"]} == before


def test_two_names_of_a_session_must_agree(acme: Client) -> None:
    answer = acme.chat("hi", session_id="a", headers={"X-Session-ID": "b"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "conflicting_session_ids")
    answer = acme.chat("hi", session_id="a\r\nX-Evil: 1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_session_id")


def test_a_session_counts_turns_pictures_and_what_it_avoided(
    acme: Client, shown: Callable[[int], Content]
) -> None:
    question = shown(101)
    for number in (1, 2):
        acme.chat(question, session_id="counted", stream=number == 2).raise_for_status()
    acme.chat([*question, *shown(102)], session_id="counted").raise_for_status()
    session = acme.session("counted")
    assert (session["turns"], len(session["images"])) == (3, 2)
    assert session["image_tokens_original"] == 2 * NUM_VISUAL_TOKENS
    assert session["image_tokens"] == 2 * KEPT
    assert session["visual_kv_bytes"] == 2 * KEPT * BYTES_PER_TOKEN
    assert session["visual_kv_avoided_bytes"] == 2 * (NUM_VISUAL_TOKENS - KEPT) * BYTES_PER_TOKEN
    assert [image["turns"] for image in session["images"]] == [3, 1]
    assert session["images_reused"] == 2
    assert 0 < session["cached_tokens"] < session["prompt_tokens"]
    assert session["age_seconds"] >= 0


def test_deleting_a_session_frees_its_bytes_in_the_gauge(
    acme: Client, guarded: RunningServer, shown: Callable[[int], Content]
) -> None:
    acme.chat(shown(103), session_id="short").raise_for_status()
    held = acme.session("short")["kv_bytes"]["host"]
    assert held > 0
    assert held % (32 * BYTES_PER_TOKEN) == 0
    before = guarded.metric("metacompress_tier_bytes", tier="host")
    answer = acme.call("DELETE", "/v1/sessions/short").json()
    assert (answer["deleted"], answer["freed_bytes"]) == (True, held)
    assert guarded.metric("metacompress_tier_bytes", tier="host") == before - held
    assert acme.call("GET", "/v1/sessions/short").status_code == 404
    assert acme.chat(shown(103), session_id="short").status_code == 200
    assert acme.session("short")["turns"] == 1


def test_a_picture_is_uploaded_once_and_named_from_then_on(
    acme: Client,
    guarded: RunningServer,
    picture: Callable[[int], Image],
    shown: Callable[[int], Content],
) -> None:
    file_id = acme.upload(picture(104))
    before = guarded.metric("metacompress_image_uploads_avoided_total")
    runs = guarded.metric("metacompress_vision_tower_runs_total")
    first = acme.chat(by_url(file_id)).raise_for_status().json()
    assert first["usage"]["metacompress"]["images_reused"] == 0
    as_file = [{"type": "file", "file": {"file_id": file_id}}, by_url(file_id)[1]]
    for content in (by_url(file_id), as_file, shown(104)):
        cached, reused = acme.found(content)
        assert (cached >= 32, reused) == (True, 1)
    assert guarded.metric("metacompress_vision_tower_runs_total") == runs + 1
    assert guarded.metric("metacompress_image_uploads_avoided_total") == before + 3


def test_a_file_that_is_gone_is_said_so(acme: Client, picture: Callable[[int], Image]) -> None:
    file_id = acme.upload(picture(105))
    acme.openai.files.delete(file_id)
    with pytest.raises(NotFoundError) as refused:
        acme.openai.chat.completions.create(
            model="tiny",
            messages=[{"role": "user", "content": by_url(file_id)}],  # type: ignore[list-item,misc]
        )
    assert refused.value.code == "file_not_found"
    assert refused.value.param == "messages[0].content[0].image_url.url"
    assert "upload it again" in refused.value.message


@pytest.mark.parametrize("content", [b"GIF89a" + b"\0" * 40, b"\x89PNG\r\n\x1a\n broken", b"text"])
def test_only_pictures_are_stored(acme: Client, content: bytes) -> None:
    with pytest.raises(BadRequestError) as refused:
        acme.openai.files.create(file=("x.png", content), purpose="vision")
    assert refused.value.code in ("invalid_image", "invalid_image_format")


def test_two_tenants_with_the_same_picture_and_session_share_nothing(
    acme: Client, globex: Client, guarded: RunningServer, shown: Callable[[int], Content]
) -> None:
    question = shown(106)
    name = {"session_id": "shared name"}
    assert acme.found(question, **name) == (0, 0)
    again = acme.found(question, **name)
    assert (again[0] >= 32, again[1]) == (True, 1)
    runs = guarded.metric("metacompress_vision_tower_runs_total")
    assert globex.found(question, **name) == (0, 0)
    assert guarded.metric("metacompress_vision_tower_runs_total") == runs + 1
    assert globex.session("shared name")["turns"] == 1
    assert acme.session("shared name")["turns"] == 2
    mine, theirs = (client.session("shared name")["images"][0]["id"] for client in (acme, globex))
    assert mine != theirs
    globex.call("DELETE", "/v1/sessions/shared name")
    assert acme.session("shared name")["turns"] == 2
    assert acme.found(question, **name)[1] == 1


@pytest.mark.parametrize("forged", ["file-" + "0" * 32, "file-", "file-../../x"])
def test_another_tenants_file_reads_like_a_forged_one(
    acme: Client, globex: Client, picture: Callable[[int], Image], forged: str
) -> None:
    file_id = acme.upload(picture(107))
    for kind, key in (("image_url", "url"), ("file", "file_id")):
        parts = [{"type": kind, kind: {key: name}} for name in (file_id, forged)]
        answers = [globex.chat([part]) for part in parts]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].content == answers[1].content
    for method, end in (("GET", ""), ("DELETE", ""), ("GET", "/content")):
        answers = [
            globex.call(method, f"/v1/files/{name}{end}") for name in (file_id, "file-" + "0" * 32)
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].content == answers[1].content
    assert acme.openai.files.retrieve(file_id).id == file_id


def test_a_foreign_session_reads_like_a_missing_one(acme: Client, globex: Client) -> None:
    acme.chat("hi", session_id="only acme's").raise_for_status()
    for method in ("GET", "DELETE"):
        answers = [
            globex.call(method, f"/v1/sessions/{name}") for name in ("only acme's", "nobody's")
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].content == answers[1].content
    listed = [one["id"] for one in globex.call("GET", "/v1/sessions").json()["data"]]
    assert "only acme's" not in listed
    made = globex.call("POST", "/v1/sessions", json={"id": "only acme's"})
    assert made.status_code == 201
    assert acme.session("only acme's")["turns"] == 1


def test_nobody_comes_in_without_a_key(guarded: RunningServer) -> None:
    for path in ("/v1/sessions", "/v1/files"):
        assert httpx.get(guarded.url + path).status_code == 401


def test_a_typed_handle_is_no_picture(acme: Client) -> None:
    for url in ("metacompress:" + "0" * 32, "metacompress:"):
        answer = acme.chat(by_url(url))
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] is not None


@pytest.mark.parametrize("stream", [False, True])
def test_responses_know_sessions_files_and_savings(
    acme: Client, guarded: RunningServer, picture: Callable[[int], Image], stream: bool
) -> None:
    file_id = acme.upload(picture(108 + stream))
    content = [
        {"type": "input_image", "file_id": file_id, "detail": "auto"},
        {"type": "input_text", "text": "what is it that you see here, and where is it?"},
    ]
    body: dict[str, Any] = {
        "model": "tiny",
        "input": [{"role": "user", "content": content}],
        "max_output_tokens": 4,
        "prompt_cache_key": f"responses {stream}",
        "stream": stream,
    }
    before = _timed(guarded)
    for reused in (0, 1):
        answer: Any = acme.openai.responses.create(**body)
        if stream:
            *_, last = answer
            usage = last.response.usage
        else:
            usage = answer.usage
        assert usage.metacompress == {
            "image_tokens_original": NUM_VISUAL_TOKENS,
            "image_tokens": KEPT,
            "images_reused": reused,
        }
        assert usage.input_tokens_details.image_tokens == KEPT
        assert (usage.input_tokens_details.cached_tokens > 0) == bool(reused)
    assert acme.session(f"responses {stream}")["turns"] == 2
    assert _timed(guarded) == [count + 1 for count in before]


def _timed(server: RunningServer, pictures: str = "compressed") -> list[float]:
    """How many first and later turns were timed whose pictures were served like that."""
    name = "metacompress_turn_time_to_first_token_seconds_count"
    return [server.metric(name, turn=turn, pictures=pictures) for turn in ("first", "later")]


def test_mixed_details_are_told_apart(
    acme: Client, picture: Callable[[int], Image], data_url: Callable[[Image], str]
) -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": data_url(picture(120 + i)), "detail": detail}}
        for i, detail in enumerate(("low", "high"))
    ]
    answer = acme.chat(parts, session_id="mixed").raise_for_status().json()["usage"]
    images = {image["detail"]: image["tokens"] for image in acme.session("mixed")["images"]}
    assert images["low"] == KEPT < images["high"] < NUM_VISUAL_TOKENS
    kept = sum(images.values())
    assert answer["metacompress"]["image_tokens_original"] == 2 * NUM_VISUAL_TOKENS
    assert answer["metacompress"]["image_tokens"] == kept
    assert answer["prompt_tokens_details"]["image_tokens"] == kept
    refused = acme.chat([{"type": "image_url", "image_url": {"url": "data:,", "detail": "full"}}])
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_value")


def test_a_full_session_is_refused_and_leaves_nothing_behind(
    acme: Client, shown: Callable[[int], Content]
) -> None:
    pictures = [shown(140 + i)[0] for i in range(MAX_IMAGES + 1)]
    refused = acme.chat(pictures, session_id="full")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "session_full")
    assert acme.call("GET", "/v1/sessions/full").status_code == 404
    assert acme.chat(pictures).status_code == 200
    assert acme.chat(pictures[:MAX_IMAGES], session_id="full").status_code == 200
    refused = acme.chat(pictures[MAX_IMAGES:], session_id="full", stream=True)
    assert refused.status_code == 400
    assert acme.session("full")["turns"] == 1


def test_batches_of_pictures_are_timed(
    acme: Client, guarded: RunningServer, shown: Callable[[int], Content]
) -> None:
    names = ("metacompress_image_encode_seconds", "metacompress_compress_seconds")
    before = [guarded.metric(f"{name}_count") for name in names]
    acme.chat(shown(130)).raise_for_status()
    acme.chat(shown(130)).raise_for_status()
    assert [guarded.metric(f"{name}_count") for name in names] == [one + 1 for one in before]
    assert all(guarded.metric(f"{name}_sum") > 0 for name in names)


def test_what_makes_no_sense_has_openais_envelope(acme: Client) -> None:
    for method, path in (("GET", "/v1/sessions?limit=0"), ("GET", "/v1/files?order=up")):
        answer = acme.call(method, path)
        assert answer.status_code == 400
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_metrics_of_sessions(acme: Client, guarded: RunningServer) -> None:
    def series() -> list[float]:
        return [
            guarded.metric("metacompress_session_lookups_total", result="miss"),
            guarded.metric("metacompress_session_lookups_total", result="hit"),
            guarded.metric("metacompress_sessions_active"),
            guarded.metric("metacompress_session_evictions_total", reason="deleted"),
            *_timed(guarded, "none"),
            guarded.metric("metacompress_session_turns_sum"),
        ]

    before = series()
    for _ in range(2):
        acme.chat("hello", session_id="measured").raise_for_status()
    assert [now - then for now, then in zip(series(), before, strict=True)] == [1, 1, 1, 0, 1, 1, 0]
    acme.call("DELETE", "/v1/sessions/measured")
    assert [now - then for now, then in zip(series(), before, strict=True)] == [1, 1, 0, 1, 1, 1, 2]
    layers = [
        guarded.metric("metacompress_cached_prompt_tokens_total", layer=layer)
        for layer in ("prefix", "host", "disk")
    ]
    assert layers[0] > 0
    assert layers[2] == 0
