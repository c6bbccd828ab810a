"""Sessions that return to a server in five phases, with its counters watched in each."""

import base64
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from PIL import Image

PHASES = ("nothing", "GPU", "host", "disk", "embeddings")
"""In the order in which they are run."""

TIMEOUT_S = 300.0
_WORDS = ("tree", "cat", "left", "of", "the", "red", "above", "small", "dog", "there")
_HISTORY_WORDS = 100
_OTHER_WORDS = 600
_MANY = 256  # tokens: a turn whose history was found has more than this from one tier
_FEW = 64  # tokens: what stands before the picture is everybody's, and found anywhere


class BenchmarkError(RuntimeError):
    """What was to be timed did not happen. The message is one line."""


@dataclass(frozen=True)
class Turn:
    """One answer: seconds to its first token, its tokens, and how long the prompt was."""

    ttft_s: float
    answer: tuple[str, ...]
    prompt_tokens: int


class Returning:
    """Sessions `name-0` and so on, each about a picture of its own.

    Args:
        url: of the server.
        name: tells the pictures and texts of one run from another's.
        num_sessions: how many.
        floods: other dialogues that push all sessions out of the host's memory.
        same_question: whether the phases ask the same question, for comparing answers.
    """

    def __init__(
        self, url: str, name: str, num_sessions: int, floods: int, *, same_question: bool
    ) -> None:
        self._url = url
        self._name = name
        self._count = num_sessions
        self._floods = floods
        self._same_question = same_question
        self._client = httpx.Client(base_url=url, timeout=TIMEOUT_S)

    def run(self) -> dict[str, list[Turn]]:
        """All phases.

        Raises:
            BenchmarkError: a phase found its tokens elsewhere.
        """
        before: dict[str, Callable[[int], None]] = {
            "nothing": self._clear_gpu,
            "host": self._clear_gpu,
            "disk": self._clear_host,
            "embeddings": self._forget,
        }
        turns: dict[str, list[Turn]] = {phase: [] for phase in PHASES}
        counts: dict[str, dict[str, float]] = {}
        for phase in before:
            moved = _Moves(self._client)
            for session in range(self._count):
                moved.pause(before[phase], session)
                turns[phase].append(self._ask(session, phase))
                if phase == "nothing":
                    turns["GPU"].append(self._ask(session, "GPU"))
            counts[phase] = moved.total
        self._judge(counts)
        self._client.close()
        return turns

    def _judge(self, counts: dict[str, dict[str, float]]) -> None:
        """Whether every phase was what its name says."""
        cold, host, disk, known = (
            counts[phase] for phase in ("nothing", "host", "disk", "embeddings")
        )
        wanted = {
            "nothing, then GPU": cold["tower_runs"] == cold["pictures_in_prefix"] == self._count
            and cold["host"] + cold["disk"] <= _FEW * self._count,
            "host": host["tower_runs"] == host["disk"] == 0 and host["host"] >= _MANY * self._count,
            "disk": disk["tower_runs"] == 0
            and disk["disk"] >= max(_MANY * self._count, 4 * disk["host"]),
            "embeddings": known["tower_runs"] == known["pictures_in_prefix"] == 0
            and known["host"] + known["disk"] <= _FEW * self._count,
        }
        wrong = {
            name: counts[name.partition(",")[0]] for name, right in wanted.items() if not right
        }
        if wrong:
            raise BenchmarkError(f"tokens came from elsewhere: {json.dumps(wrong)}")

    def _ask(self, session: int, phase: str) -> Turn:
        question = "What is there?" if self._same_question else f"What is there? {phase}"
        text = _text(f"{self._name}-{session}", _HISTORY_WORDS)
        return self._turn(f"{self._name}-{session}", text, question)

    def _turn(self, session: str, text: str, question: str) -> Turn:
        """A dialogue of three turns that ends with `question`."""
        messages = [
            {"role": "user", "content": [_image(session), {"type": "text", "text": text}]},
            {"role": "assistant", "content": text},
            {"role": "user", "content": text},
            {"role": "assistant", "content": text},
            {"role": "user", "content": question},
        ]
        return self._stream(_request(messages), {"X-Session-ID": session})

    def _stream(self, body: dict[str, Any], headers: dict[str, str]) -> Turn:
        start, first, length = time.perf_counter(), 0.0, 0
        answer: list[str] = []
        path = "/v1/chat/completions"
        with self._client.stream("POST", path, json=body, headers=headers) as response:
            if response.status_code != httpx.codes.OK:
                raise BenchmarkError(response.read().decode()[:300])
            for line in response.iter_lines():
                if not line.startswith("data: {"):
                    continue
                chunk = json.loads(line.removeprefix("data: "))
                if chunk.get("usage"):
                    length = chunk["usage"]["prompt_tokens"]
                for choice in chunk["choices"]:
                    first = first or time.perf_counter() - start  # the role comes with it
                    logprobs = choice.get("logprobs") or {"content": []}
                    answer += [token["token"] for token in logprobs["content"]]
        return Turn(first, tuple(answer), length)

    def _clear_gpu(self, session: int) -> None:
        """Two prompts without pictures, always the same, are larger than the GPU's cache."""
        del session
        for name in ("first", "second"):
            text = _text(name, _OTHER_WORDS)
            self._stream(_request([{"role": "user", "content": text}]), {})

    def _clear_host(self, session: int) -> None:
        """Before the first session: others whose pictures stand at the end, so that all of their
        text is protected and nothing of the sessions is kept.
        """
        for number in range(self._floods if session == 0 else 0):
            name = f"{self._name} others {number}"
            parts = [{"type": "text", "text": _text(name, _OTHER_WORDS)}, _image(name)]
            self._stream(_request([{"role": "user", "content": parts}]), {"X-Session-ID": name})
        self._clear_gpu(session)

    def _forget(self, session: int) -> None:
        """Only the picture stays known."""
        self._client.delete(f"/v1/sessions/{self._name}-{session}").raise_for_status()
        self._clear_gpu(session)


class _Moves:
    """How far the server's counters move, but for pauses."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._start = self._read()
        self._paused = dict.fromkeys(self._start, 0.0)

    def pause(self, action: Callable[[int], None], session: int) -> None:
        """Do something that is not counted."""
        before = self._read()
        action(session)
        after = self._read()
        for name in after:
            self._paused[name] += after[name] - before[name]

    @property
    def total(self) -> dict[str, float]:
        now = self._read()
        return {name: now[name] - self._start[name] - self._paused[name] for name in now}

    def _read(self) -> dict[str, float]:
        series = {
            "tower_runs": "metacompress_vision_tower_runs_total{",
            "host": 'metacompress_cached_prompt_tokens_total{layer="host"',
            "disk": 'metacompress_cached_prompt_tokens_total{layer="disk"',
            "pictures_in_prefix": 'metacompress_image_cache_hits_total{layer="prefix"',
        }
        lines = self._client.get("/metrics").text.splitlines()
        return {
            name: sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(start))
            for name, start in series.items()
        }


def _request(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Greedy, streamed, with the tokens of the answer."""
    return {
        "model": "random",
        "messages": messages,
        "max_tokens": 8,
        "temperature": 0,
        "ignore_eos": True,
        "logprobs": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _image(name: str) -> dict[str, Any]:
    """A picture of noise that only this name has, as a part of a message."""
    pixels = np.random.default_rng(list(name.encode())).integers(
        0, 255, (96, 96, 3), dtype=np.uint8
    )
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    url = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": url}}


def _text(name: str, num_words: int) -> str:
    """Words in an order that only this name has."""
    generator = np.random.default_rng(list(name.encode()))
    return " ".join(generator.choice(_WORDS, num_words).tolist())
