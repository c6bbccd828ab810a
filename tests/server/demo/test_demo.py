"""The demo's pure parts, how it talks to a client, and its handling of a server."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk
from rich.console import Console

from metacompress_server.demo import __main__ as demo
from metacompress_server.demo import server as demo_server
from metacompress_server.demo.dialogue import (
    DemoError,
    Question,
    TurnResult,
    ask_dialogue,
    load_dialogues,
    normalize_answer,
    read_stream,
    turn_result,
    user_message,
)


def chunk(text: str | None = None, usage: dict[str, Any] | None = None) -> ChatCompletionChunk:
    choices = [] if text is None else [{"index": 0, "delta": {"content": text}}]
    return ChatCompletionChunk.model_validate(
        {
            "id": "1",
            "created": 0,
            "model": "m",
            "object": "chat.completion.chunk",
            "choices": choices,
            "usage": usage,
        }
    )


def usage(**extra: Any) -> dict[str, Any]:
    return {"prompt_tokens": 60, "completion_tokens": 2, "total_tokens": 62, **extra}


SAVINGS = {"image_tokens_original": 256, "image_tokens": 25, "images_reused": 1}


def turn(**changes: Any) -> TurnResult:
    values: dict[str, Any] = {
        "question": "where is the fox?",
        "answer": "top left",
        "expected": "top left",
        "image_tokens_original": 256,
        "image_tokens": 25,
        "images_reused": 0,
        "prompt_tokens": 60,
        "cached_tokens": 32,
        "ttft_s": 0.0421,
    }
    return TurnResult(**{**values, **changes})


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(name.encode())
    turns = [{"question": f"q{i}", "answer": f"a{i}", "kind": "place"} for i in range(5)]
    rows = [json.dumps({"image": name, "turns": turns}) for name in ("a.png", "b.png")]
    (tmp_path / "dialogues.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


def test_the_first_turns_of_each_picture_are_read(pictures: Path) -> None:
    dialogues = load_dialogues(pictures, num_pictures=2, num_turns=4)
    assert [dialogue.picture for dialogue in dialogues] == [pictures / "a.png", pictures / "b.png"]
    expected = tuple(Question(f"q{i}", f"a{i}") for i in range(4))
    assert all(dialogue.questions == expected for dialogue in dialogues)


@pytest.mark.parametrize(
    ("num_pictures", "num_turns", "named"), [(3, 4, "2 pictures, 3"), (2, 6, "5 turns, 6")]
)
def test_too_few_pictures_or_turns_are_named(
    pictures: Path, num_pictures: int, num_turns: int, named: str
) -> None:
    with pytest.raises(DemoError, match=named):
        load_dialogues(pictures, num_pictures, num_turns)


def test_a_folder_without_dialogues_is_named(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match=r"no dialogues\.jsonl"):
        load_dialogues(tmp_path, 1, 1)


@pytest.mark.parametrize(
    ("given", "same"), [("Top Left.", "top left"), (" two \n", "two"), ("3", "3")]
)
def test_answers_are_compared_without_case_space_and_full_stop(given: str, same: str) -> None:
    assert normalize_answer(given) == normalize_answer(same)


def test_different_answers_stay_different() -> None:
    assert not turn(answer="top right").is_right


def test_the_picture_goes_before_the_text_as_a_data_url(pictures: Path) -> None:
    image, text = user_message("what?", pictures / "a.png")["content"]
    assert image["image_url"]["url"] == "data:image/png;base64,YS5wbmc="
    assert text == {"type": "text", "text": "what?"}


def test_a_stream_is_joined_and_timed_to_its_first_text() -> None:
    clock_start = -10.0  # long before any reading of the clock
    chunks = [chunk(""), chunk("top"), chunk(" left"), chunk(usage=usage())]
    answer, counted, ttft_s = read_stream(chunks, clock_start)
    assert answer == "top left"
    assert counted.prompt_tokens == 60
    assert ttft_s > 10.0


@pytest.mark.parametrize(
    ("chunks", "named"),
    [([chunk(usage=usage())], "without any text"), ([chunk("yes")], "without usage")],
)
def test_an_unfinished_stream_fails(chunks: list[ChatCompletionChunk], named: str) -> None:
    with pytest.raises(DemoError, match=named):
        read_stream(chunks, 0.0)


def test_usage_tells_savings_and_cached_tokens() -> None:
    told = usage(metacompress=SAVINGS, prompt_tokens_details={"cached_tokens": 32})
    result = turn_result(Question("q", "a"), " a\n", CompletionUsage.model_validate(told), 0.5)
    assert (result.image_tokens_original, result.image_tokens, result.images_reused) == (256, 25, 1)
    assert (result.prompt_tokens, result.cached_tokens) == (60, 32)
    assert result.answer == "a"


def test_what_the_server_does_not_tell_stays_unknown() -> None:
    told = usage(metacompress={"image_tokens_original": 256, "image_tokens": 25})
    result = turn_result(Question("q", "a"), "a", CompletionUsage.model_validate(told), 0.5)
    assert result.cached_tokens is None
    assert result.images_reused is None


def test_another_kind_of_server_is_noticed() -> None:
    with pytest.raises(DemoError, match="not a MetaCompress server"):
        turn_result(Question("q", "a"), "a", CompletionUsage.model_validate(usage()), 0.5)


class RecordingClient:
    """Stands for `openai.OpenAI`: keeps each request's messages, answers `a0`, `a1`, ..."""

    def __init__(self) -> None:
        self.chat = self.completions = self
        self.requests: list[list[dict[str, Any]]] = []
        self.sessions: list[str] = []

    def create(
        self, *, messages: list[dict[str, Any]], extra_headers: dict[str, str], **_: Any
    ) -> Iterator[ChatCompletionChunk]:
        self.requests.append(list(messages))
        self.sessions.append(extra_headers["X-Session-ID"])
        yield chunk(f"a{len(self.requests) - 1}")
        yield chunk(usage=usage(metacompress=SAVINGS))


def test_every_turn_carries_the_earlier_ones_and_one_picture(pictures: Path) -> None:
    client: Any = RecordingClient()
    dialogue = load_dialogues(pictures, 1, 3)[0]
    results = list(ask_dialogue(client, "m", dialogue))
    assert [result.answer for result in results] == ["a0", "a1", "a2"]
    assert [len(messages) for messages in client.requests] == [1, 3, 5]
    last = client.requests[-1]
    assert [message["role"] for message in last] == ["user", "assistant"] * 2 + ["user"]
    assert [isinstance(message["content"], list) for message in last] == [True] + [False] * 4


def test_a_dialogue_is_a_session_of_its_own(pictures: Path) -> None:
    client: Any = RecordingClient()
    for dialogue in load_dialogues(pictures, 2, 3):
        list(ask_dialogue(client, "m", dialogue))
    first, second = client.sessions[:3], client.sessions[3:]
    assert len(set(first)) == len(set(second)) == 1
    assert first[0] != second[0]


def test_the_table_shows_each_turn() -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(demo.dialogue_table("a.png", [turn(), turn(answer="no", cached_tokens=None)]))
    text = console.export_text()
    assert re.search(r"no +✗ +top left +256 +25 +60 +\? +42 ms", text)
    for shown in ("where is the fox?", "top left", "256", "25", "42 ms", "✓", "✗"):
        assert shown in text


def test_the_summary_counts_tokens_of_all_turns() -> None:
    line = demo.summary_line([turn(), turn(answer="no")])
    assert line == "1 of 2 answers as expected, on 50 visual tokens instead of 512 (9.8%)."


def test_no_server_at_the_given_url_is_a_failure(pictures: Path, capsys: Any) -> None:
    free = demo_server._free_port()
    status = demo.main(["--url", f"http://127.0.0.1:{free}", "--pictures", str(pictures)])
    assert status == 1
    assert "The demo failed" in capsys.readouterr().out


def test_a_server_that_ends_early_is_reported_with_its_last_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = "import sys; print('no such model'); sys.exit(3)"
    monkeypatch.setattr(demo_server, "_command", lambda port, words: [sys.executable, "-c", script])
    with pytest.raises(DemoError, match=r"status 3\nno such model"), demo_server.running_server():
        pass


def test_the_own_server_is_ready_inside_and_gone_after(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def keep(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*args, **kwargs))
        return started[0]

    def command(port: int, words: list[str]) -> list[str]:
        return [sys.executable, "-c", HEALTHY_SERVER, str(port)]

    monkeypatch.setattr(demo_server, "_command", command)
    monkeypatch.setattr(subprocess, "Popen", keep)
    with demo_server.running_server() as url:
        assert demo_server.is_ready(url)
    assert started[0].poll() is not None
    assert not demo_server.is_ready(url)


def test_a_server_that_does_not_want_to_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{HEALTHY_SERVER}"
    monkeypatch.setattr(demo_server, "STOP_TIMEOUT_S", 0.1)
    monkeypatch.setattr(
        demo_server, "_command", lambda port, words: [sys.executable, "-c", deaf, f"{port}"]
    )
    with demo_server.running_server() as url:
        pass
    assert not demo_server.is_ready(url)


HEALTHY_SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
