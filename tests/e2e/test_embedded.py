"""The embedded model as a newcomer meets it: started without arguments, asked real questions."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from running_server import RunningServer, Serve

from metacompress_compressor.embedded import pictures_dir

MODEL = "metacompress-embedded"
#: What the README promises on two cores.
READY_S = 30.0
PEAK_BYTES = 2.5e9


@dataclass(frozen=True)
class Answered:
    """One turn: what was said, what was expected, and the server's account."""

    said: str
    expected: str
    usage: dict[str, Any]


@pytest.fixture(scope="module")
def embedded(serve_logged: Serve) -> Iterator[RunningServer]:
    with serve_logged(["serve"], small=False) as running:
        yield running


@pytest.fixture(scope="module")
def dialogues(embedded: RunningServer) -> list[list[Answered]]:
    """Both sample dialogues, held over HTTP with the model's own answers as history."""
    lines = (pictures_dir() / "dialogues.jsonl").read_text().splitlines()
    return [_hold(embedded.client, json.loads(line)) for line in lines]


def _hold(client: OpenAI, record: dict[str, Any]) -> list[Answered]:
    picture = base64.b64encode((pictures_dir() / record["image"]).read_bytes()).decode()
    url = f"data:image/png;base64,{picture}"
    messages: list[Any] = []
    answered = []
    for turn in record["turns"]:
        content: list[Any] = [{"type": "text", "text": turn["question"]}]
        if not messages:
            content.insert(0, {"type": "image_url", "image_url": {"url": url}})
        messages.append({"role": "user", "content": content})
        response = client.chat.completions.create(model=MODEL, messages=messages, temperature=0)
        said = response.choices[0].message.content or ""
        messages.append({"role": "assistant", "content": said})
        assert response.usage is not None
        answered.append(Answered(said, turn["answer"], response.usage.model_dump()))
    return answered


def test_real_questions_about_real_pictures_are_answered(dialogues):
    turns = [turn for dialogue in dialogues for turn in dialogue]
    assert len(turns) == 8
    assert sum(turn.said == turn.expected for turn in turns) >= 6


def test_every_turn_costs_a_tenth_and_reuses_the_picture(dialogues, embedded):
    for dialogue in dialogues:
        savings = [turn.usage["metacompress"] for turn in dialogue]
        assert savings == [
            {"image_tokens_original": 256, "image_tokens": 25, "images_reused": int(index > 0)}
            for index in range(4)
        ]
        cached = [turn.usage["prompt_tokens_details"]["cached_tokens"] for turn in dialogue]
        assert cached[0] == 0
        assert all(count >= 32 for count in cached[1:])
    assert embedded.metric("metacompress_vision_tower_runs_total", model_name=MODEL) == 2
    assert embedded.metric("metacompress_images_total", model_name=MODEL, result="reused") == 6


def test_peak_memory_stays_small(dialogues, embedded):
    assert sum(_peak_bytes(process.pid) for process in embedded.processes) < PEAK_BYTES


def _peak_bytes(pid: int) -> int:
    """Most memory that a process ever held; the kernel tells it in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def test_start_and_eight_answers_take_seconds(dialogues, embedded):
    # Processor time: the clock of a busy machine says nothing about the server.
    times = [process.cpu_times() for process in embedded.processes]
    assert sum(spent.user + spent.system for spent in times) < READY_S
