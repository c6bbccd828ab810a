"""Held-out dialogues asked of a running server: which answers are exactly right, turn by turn.

Each question comes with the dialogue's earlier answers as in the data, as `metacompress eval`
scores them, so both can be compared answer by answer.
"""

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from metacompress_compressor.training.dialogues import Dialogue

MAX_ANSWER_TOKENS = 64
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Answers:
    """What a server made of some dialogues.

    Attributes:
        right: for each dialogue and turn, whether the answer was the data's, to its very end.
        image_tokens: visual tokens of a picture, as the server counted them.
    """

    right: tuple[tuple[bool, ...], ...]
    image_tokens: int


class AnswerError(RuntimeError):
    """A server that did not answer as it should. The message is one line."""


def ask_all(
    url: str, dialogues: Sequence[Dialogue], *, detail: str | None = None, at_once: int = 1
) -> Answers:
    """Ask every question of every dialogue.

    Args:
        url: of the server.
        dialogues: each about one picture.
        detail: `image_url.detail` of every picture; None to say nothing.
        at_once: dialogues in flight.

    Raises:
        AnswerError: a request failed, or pictures did not all get the same number of tokens.
    """
    return asyncio.run(_ask_all(url, dialogues, detail, at_once))


async def _ask_all(
    url: str, dialogues: Sequence[Dialogue], detail: str | None, at_once: int
) -> Answers:
    gate = asyncio.Semaphore(at_once)
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client:
        model = (await client.get("/v1/models")).raise_for_status().json()["data"][0]["id"]

        async def ask(dialogue: Dialogue) -> list[tuple[bool, int]]:
            async with gate:
                return await _ask_dialogue(client, model, dialogue, detail)

        found = await asyncio.gather(*map(ask, dialogues))
    counts = {tokens for turns in found for _, tokens in turns}
    if len(counts) != 1:
        raise AnswerError(f"pictures got {sorted(counts)} visual tokens, not one number of them")
    right = tuple(tuple(is_right for is_right, _ in turns) for turns in found)
    return Answers(right, counts.pop())


async def _ask_dialogue(
    client: httpx.AsyncClient, model: str, dialogue: Dialogue, detail: str | None
) -> list[tuple[bool, int]]:
    """Whether each turn is right, and the visual tokens of its picture."""
    messages: list[dict[str, Any]] = []
    found = []
    for turn in dialogue.turns:
        picture = [] if messages else [_picture_part(dialogue, detail)]
        text = {"type": "text", "text": turn.question}
        messages.append({"role": "user", "content": [*picture, text]})
        body = await _complete(client, model, messages)
        choice = body["choices"][0]
        ended = choice["finish_reason"] == "stop"
        is_right = ended and choice["message"]["content"].strip() == turn.answer
        found.append((is_right, body["usage"]["metacompress"]["image_tokens"]))
        messages.append({"role": "assistant", "content": turn.answer})
    return found


async def _complete(client: httpx.AsyncClient, model: str, messages: list[Any]) -> Any:
    request = {
        "model": model,
        "messages": messages,
        "temperature": 0,
        "max_tokens": MAX_ANSWER_TOKENS,
    }
    answer = await client.post("/v1/chat/completions", json=request)
    if answer.status_code != httpx.codes.OK:
        raise AnswerError(f"status {answer.status_code}: {answer.text[:200]}")
    return answer.json()


def _picture_part(dialogue: Dialogue, detail: str | None) -> dict[str, Any]:
    encoded = base64.b64encode(dialogue.image.read_bytes()).decode("ascii")
    kind = dialogue.image.suffix.removeprefix(".").replace("jpg", "jpeg")
    image = {"url": f"data:image/{kind};base64,{encoded}"}
    return {"type": "image_url", "image_url": image | ({"detail": detail} if detail else {})}
