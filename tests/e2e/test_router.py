"""Two replicas behind vLLM's router: sessions stay where they are, and outlive their replica."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil
import pytest
from running_router import route
from running_server import ANSWER_S, RunningServer, Serve

from metacompress_compressor.embedded import pictures_dir

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # two servers start one by one

MODEL = "metacompress-embedded"
SESSIONS = 8


@dataclass
class Chat:
    """A session about one picture, through the router."""

    url: str
    number: int
    record: dict[str, Any]
    messages: list[Any] = field(default_factory=list)

    def ask(self, client: httpx.Client, question: str) -> dict[str, Any]:
        """The savings of one answered turn."""
        content: list[Any] = [{"type": "text", "text": question}]
        if not self.messages:
            content.insert(0, {"type": "image_url", "image_url": {"url": self._picture()}})
        self.messages.append({"role": "user", "content": content})
        response = client.post(
            f"{self.url}/v1/chat/completions",
            json={"model": MODEL, "messages": self.messages, "max_tokens": 24, "temperature": 0},
            headers={"X-Session-ID": f"chat-{self.number}"},
        )
        assert response.status_code == httpx.codes.OK, response.text
        answer = response.json()
        self.messages.append(answer["choices"][0]["message"])
        savings: dict[str, Any] = answer["usage"]["metacompress"]
        return savings

    def _picture(self) -> str:
        content = (pictures_dir() / self.record["image"]).read_bytes()
        return "data:image/png;base64," + base64.b64encode(content).decode()


@pytest.fixture(scope="module")
def replicas(serve_logged: Serve) -> Iterator[list[RunningServer]]:
    with ExitStack() as stack:
        yield [stack.enter_context(serve_logged(["serve"], small=False)) for _ in range(2)]


def _chats(url: str) -> list[Chat]:
    lines = (pictures_dir() / "dialogues.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return [Chat(url, number, records[number % len(records)]) for number in range(SESSIONS)]


def _answered(replica: RunningServer) -> dict[str, float]:
    """Turns of new sessions and of known ones that a replica has answered."""
    return {
        result: replica.metric("metacompress_session_lookups_total", result=result)
        for result in ("miss", "hit")
    }


def test_sessions_stay_on_their_replica_and_outlive_it(replicas, tmp_path):
    with (
        route(replicas, tmp_path / "router.log") as url,
        httpx.Client(timeout=ANSWER_S) as client,
    ):
        chats = _chats(url)
        for turn in range(3):
            for chat in chats:
                chat.ask(client, chat.record["turns"][turn]["question"])
        counts = [_answered(replica) for replica in replicas]
        # Every session was new to one replica only, where all its later turns went.
        assert sum(count["miss"] for count in counts) == SESSIONS
        assert all(count["hit"] == 2 * count["miss"] for count in counts)
        assert all(count["miss"] > 0 for count in counts), "one replica had nothing to do"

        survivor, victim = replicas
        moved = counts[1]["miss"]
        savings = _ask_while_it_dies(chats, victim)

        # No answer was lost (`ask` fails on any), and what moved was rebuilt by the survivor.
        after = _answered(survivor)
        assert after["miss"] - counts[0]["miss"] == moved
        assert all(one["image_tokens"] == 25 for one in savings)
        last = [chat.ask(client, "How many objects do you see?") for chat in chats]
        assert all(one["images_reused"] == 1 for one in last)


def _ask_while_it_dies(chats: list[Chat], victim: RunningServer) -> list[dict[str, Any]]:
    """Every chat goes on, four turns each at the same time; a replica is killed in the middle."""
    savings: list[dict[str, Any]] = []
    failures: list[BaseException] = []

    def go_on(chat: Chat) -> None:
        try:
            with httpx.Client(timeout=ANSWER_S) as client:
                for turn in range(4):
                    savings.append(chat.ask(client, chat.record["turns"][turn]["question"]))
        except BaseException as failure:  # noqa: BLE001 - shown by the test
            failures.append(failure)

    threads = [threading.Thread(target=go_on, args=[chat]) for chat in chats]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    for process in reversed(victim.processes):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(savings) == 4 * len(chats)
    return savings
