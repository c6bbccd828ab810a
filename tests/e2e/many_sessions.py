"""Chats of many sessions in turn, about one picture each, and what the server's counters say."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil
from PIL import Image
from running_server import ANSWER_S, RunningServer

PREFIX_PICTURES = ("metacompress_image_cache_hits_total", {"layer": "prefix"})
TOWER_RUNS = ("metacompress_vision_tower_runs_total", {})


@dataclass
class Turn:
    """tokens: of the answer; prompt, cached: as in `usage`."""

    tokens: list[str]
    prompt: int
    cached: int


@dataclass
class Chats:
    """The same dialogues for every server: the answers in the history are given, not the model's.

    Messages are as long as three or four blocks of 32 tokens.
    """

    server: RunningServer
    data_url: Callable[[Image.Image], str]
    picture: Callable[[int], Image.Image]
    key: str | None = None

    def ask(self, session: int, turn: int, name: str | None = None) -> Turn:
        """One turn of one session, with all turns before it."""
        messages = [message for past in range(turn) for message in self._past(session, past)]
        messages.append(self._question(session, turn))
        headers = {"X-Session-ID": name or f"session-{session}"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        body = {"model": "tiny", "messages": messages, "max_tokens": 8, "temperature": 0}
        answer = httpx.post(
            f"{self.server.url}/v1/chat/completions",
            json={**body, "logprobs": True},
            headers=headers,
            timeout=ANSWER_S,
        )
        content = answer.raise_for_status().json()
        usage = content["usage"]
        return Turn(
            [token["token"] for token in content["choices"][0]["logprobs"]["content"]],
            usage["prompt_tokens"],
            usage["prompt_tokens_details"]["cached_tokens"],
        )

    def hold(self, num_sessions: int, turns: range) -> list[Turn]:
        """Every session takes its first turn, then every session its second, and so on."""
        return [self.ask(session, turn) for turn in turns for session in range(num_sessions)]

    def _past(self, session: int, turn: int) -> list[dict[str, Any]]:
        return [self._question(session, turn), {"role": "assistant", "content": "a bird in a tree"}]

    def _question(self, session: int, turn: int) -> dict[str, Any]:
        text = f"turn {turn} of {session}: " + "what is it like? " * 6
        parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
        if turn == 0:
            image = {"url": self.data_url(self.picture(session))}
            parts.insert(0, {"type": "image_url", "image_url": image})
        return {"role": "user", "content": parts}


@dataclass
class Counters:
    """How far counters moved since this was made."""

    server: RunningServer
    key: str | None = None
    start: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self.start = self._read()

    def _read(self) -> dict[str, float]:
        return {
            "tower_runs": self.server.metric(TOWER_RUNS[0]),
            "pictures_in_prefix": self.server.metric(PREFIX_PICTURES[0], **PREFIX_PICTURES[1]),
            **{
                f"{layer}_tokens": self.server.metric(
                    "metacompress_cached_prompt_tokens_total", layer=layer
                )
                for layer in ("prefix", "host", "disk")
            },
        }

    def moved(self) -> dict[str, float]:
        """The difference."""
        now = self._read()
        return {name: now[name] - self.start[name] for name in now}


def held(server: RunningServer, tier: str) -> float:
    """Bytes in a tier, by the gauge."""
    return server.metric("metacompress_tier_bytes", tier=tier)


def wait_until_written(server: RunningServer) -> None:
    """Blocks reach the disk in the background."""
    deadline = time.monotonic() + 30
    while held(server, "disk") < held(server, "host"):
        assert time.monotonic() < deadline, "the disk tier stays behind"
        time.sleep(0.1)
    time.sleep(0.5)


def kill_hard(server: RunningServer) -> None:
    """End all its processes as a crash would."""
    processes = server.processes
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs(processes, timeout=30)
