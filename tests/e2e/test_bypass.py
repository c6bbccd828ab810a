"""Pictures with all their tokens on a compressing server: asked for, or drawn to be measured."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from dialogue import Dialogue, Part, ask, savings, served_answer
from PIL.Image import Image
from reference import Reference
from running_server import RunningServer, Serve

from metacompress_server.pictures.bypass import Bypass
from metacompress_server.pictures.sources import PictureSource
from metacompress_server.tenants import DEFAULT_TENANT, Tenant

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SHARE = 0.5
KEPT, ALL = 6, 64
MAX_LEN = 256
TEXT = "tell me all that there is to tell of it, all of it"
BYPASSED = "x-metacompress-bypassed"


@pytest.fixture(scope="module")
def both(checkpoint: Path, kept: Path, serve_logged: Serve) -> Iterator[RunningServer]:
    """A server that carries both, and draws every other dialogue."""
    command = ["serve", str(checkpoint), "--compressor", str(kept)]
    command += ["--serve-uncompressed", "--bypass-share", str(SHARE)]
    with serve_logged(command, ["--max-model-len", str(MAX_LEN)]) as running:
        yield running


@pytest.fixture(scope="module")
def shown(picture: Callable[[int], Image], data_url: Callable[[Image], str]) -> Callable[..., Part]:
    def show(seed: int, *detail: str) -> Part:
        image = picture(seed)
        return (image, data_url(image), *detail)  # type: ignore[return-value]

    return show


def session(number: int, *, drawn: bool) -> str:
    """A session that the server draws, or one that it does not."""
    tenant, picture = Tenant(DEFAULT_TENANT), PictureSource("")
    names = (f"session {number}.{i}" for i in range(1000))
    return next(name for name in names if Bypass(SHARE).draws(tenant, name, picture) == drawn)


def chat(server: RunningServer, dialogue: Dialogue, name: str, **more: Any) -> httpx.Response:
    body = {"model": "tiny", "messages": dialogue.messages, "max_tokens": 4, "temperature": 0}
    return server.post(
        "/v1/chat/completions", json={**body, **more}, headers={"X-Session-ID": name}
    ).raise_for_status()


def pictures(server: RunningServer) -> dict[str, float]:
    results = ("compressed", "bypassed", "reused")
    name = "metacompress_images_total"
    return {result: server.metric(name, result=result) for result in results}


def timed(server: RunningServer) -> dict[tuple[str, str], float]:
    """Requests by turn and by how their pictures were served; those without any are left out."""
    name = "metacompress_turn_time_to_first_token_seconds_count"
    counts = {
        (turn, served): server.metric(name, turn=turn, pictures=served)
        for turn in ("first", "later")
        for served in ("compressed", "full", "bypassed", "none")
    }
    return {key: count for key, count in counts.items() if count}


def grown(after: dict[Any, float], before: dict[Any, float]) -> dict[Any, float]:
    return {key: n - before.get(key, 0) for key, n in after.items() if n != before.get(key, 0)}


def test_the_card_says_what_is_carried(both: RunningServer, server: RunningServer) -> None:
    cards = [one.get("/v1/models").json()["data"][0]["metacompress"] for one in (both, server)]
    assert [card["serves_uncompressed"] for card in cards] == [True, False]


def test_a_picture_asked_for_whole_equals_the_reference_without_compression(
    both: RunningServer, reference: Reference, shown: Callable[..., Part]
) -> None:
    dialogue = Dialogue().user(shown(300, "full"), shown(301, "low"), TEXT)
    expected = reference.answer(dialogue.prompt, dialogue.images, 8, [1.0, 0.1])
    before = pictures(both), timed(both)
    name = session(300, drawn=False)
    completion = ask(both.client, dialogue, session_id=name)
    assert served_answer(completion).token_ids == expected.token_ids
    assert savings(completion)["image_tokens"] == ALL + KEPT
    assert grown(pictures(both), before[0]) == {"compressed": 1, "bypassed": 1}
    assert grown(timed(both), before[1]) == {("first", "compressed"): 1}
    ask(both.client, Dialogue().user(shown(302, "full"), TEXT), session_id=name)
    assert grown(timed(both), before[1])["later", "full"] == 1


@pytest.mark.parametrize("detail", ["full", "original"])
def test_responses_serve_it_too(
    both: RunningServer, server: RunningServer, shown: Callable[..., Part], detail: str
) -> None:
    image = {"type": "input_image", "image_url": shown(310)[1], "detail": detail}
    content = [image, {"type": "input_text", "text": TEXT}]
    body = {"model": "tiny", "input": [{"role": "user", "content": content}]}
    body |= {"max_output_tokens": 4, "prompt_cache_key": session(310, drawn=False)}
    answer = both.post("/v1/responses", json=body).raise_for_status()
    assert answer.json()["usage"]["metacompress"]["image_tokens"] == ALL
    refused = server.post("/v1/responses", json=body)
    assert refused.status_code == httpx.codes.BAD_REQUEST
    assert "--serve-uncompressed" in refused.json()["error"]["message"]


def test_a_drawn_dialogue_stays_whole_and_says_so(
    both: RunningServer, shown: Callable[..., Part]
) -> None:
    name = session(320, drawn=True)
    before = pictures(both), timed(both)
    dialogue = Dialogue().user(shown(320, "low"), TEXT)
    for turn in range(2):
        answer = chat(both, dialogue, name)
        usage = answer.json()["usage"]
        assert usage["metacompress"] == {
            "image_tokens_original": ALL,
            "image_tokens": ALL,
            "images_reused": turn,
            "bypassed": True,
        }
        assert (usage["prompt_tokens_details"]["cached_tokens"] > ALL) == bool(turn)
        assert answer.headers[BYPASSED] == "true"
        assert answer.headers["x-session-id"] == name
        dialogue = dialogue.assistant("so").user("and?")
    assert grown(pictures(both), before[0]) == {"bypassed": 1, "reused": 1}
    expected = {("first", "bypassed"): 1, ("later", "bypassed"): 1}
    assert grown(timed(both), before[1]) == expected


def test_a_dialogue_that_is_not_drawn_is_compressed_and_says_nothing(
    both: RunningServer, shown: Callable[..., Part]
) -> None:
    before = timed(both)
    answer = chat(both, Dialogue().user(shown(330), TEXT), session(330, drawn=False))
    assert answer.json()["usage"]["metacompress"]["image_tokens"] == KEPT
    assert "bypassed" not in answer.json()["usage"]["metacompress"]
    assert BYPASSED not in answer.headers
    assert grown(timed(both), before) == {("first", "compressed"): 1}


def test_prefill_that_is_avoided_is_counted_once_for_each_picture(
    both: RunningServer, shown: Callable[..., Part]
) -> None:
    def avoided() -> list[float]:
        name = "metacompress_prefill_tokens_avoided_total"
        return [both.metric(name, turn=turn) for turn in ("first", "later")]

    before = avoided()
    dialogue = Dialogue().user(shown(335), TEXT)
    for drawn in (False, True):
        name = session(335, drawn=drawn)
        chat(both, dialogue, name)
        chat(both, dialogue.assistant("so").user("and?"), name)
    assert [now - then for now, then in zip(avoided(), before, strict=True)] == [ALL - KEPT, 0]
    assert both.metric("metacompress_prefill_calibration_requests") > 0


def test_a_stream_says_it_at_both_ends(both: RunningServer, shown: Callable[..., Part]) -> None:
    dialogue = Dialogue().user(shown(340), TEXT)
    options = {"stream": True, "stream_options": {"include_usage": True}}
    answer = chat(both, dialogue, session(340, drawn=True), **options)
    assert answer.headers[BYPASSED] == "true"
    *_, last, _ = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    assert json.loads(last.removeprefix("data: "))["usage"]["metacompress"]["bypassed"] is True


@pytest.mark.parametrize("max_tokens", [MAX_LEN - ALL - 8, None])
def test_a_drawn_dialogue_without_room_for_all_its_tokens_is_compressed(
    both: RunningServer, shown: Callable[..., Part], max_tokens: int | None
) -> None:
    parts = [shown(350), shown(351)] if max_tokens is None else [shown(352)]
    before = timed(both)
    dialogue = Dialogue().user(*parts, TEXT)
    answer = chat(both, dialogue, session(350, drawn=True), max_tokens=max_tokens)
    assert answer.json()["usage"]["metacompress"]["image_tokens"] == KEPT * len(parts)
    assert BYPASSED not in answer.headers
    assert [*grown(timed(both), before).values()] == [1]
    assert all(served == "compressed" for _, served in grown(timed(both), before))


def test_text_alone_is_never_drawn(both: RunningServer) -> None:
    before = timed(both)
    answer = chat(both, Dialogue().user(TEXT), session(360, drawn=True))
    assert BYPASSED not in answer.headers
    assert grown(timed(both), before) == {("first", "none"): 1}
