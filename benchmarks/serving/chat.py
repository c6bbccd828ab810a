"""One question to a server, streamed, with the time of every chunk."""

import base64
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from benchmarks.serving.turns import Answers, Dialogue, Turn

_MAX_REASON = 200


class Conversation:
    """A dialogue as it goes on; one question at a time.

    Args:
        client: whose base URL is the server's.
        model: as the server names it.
        dialogue: its picture is read here, before anything is timed.
        began: reading of `time.perf_counter` when the load began.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        model: str,
        dialogue: Dialogue,
        answers: Answers,
        began: float,
    ) -> None:
        self._client = client
        self._model = model
        self._dialogue = dialogue
        self._answers = answers
        self._began = began
        self._messages: list[dict[str, Any]] = []
        self._picture = dialogue.picture and _picture(Path(dialogue.picture), answers.detail)

    async def ask(self, number: int) -> Turn:
        """Ask question `number`. A failure is a turn too, and ends nothing."""
        question = self._dialogue.questions[number]
        self._messages.append({"role": "user", "content": self._content(question.text)})
        started = time.perf_counter()
        turn = {"dialogue": self._dialogue.name, "number": number}
        try:
            found = await self._stream(started)
        except (httpx.HTTPError, ValueError, KeyError) as error:
            reason = f"{type(error).__name__}: {error}"[:_MAX_REASON]
            return Turn(**turn, started_s=started - self._began, failure=reason)
        answer = found["answer"]
        said = question.expected if self._answers.scripted else answer
        self._messages.append({"role": "assistant", "content": said})
        return Turn(
            **turn,
            started_s=started - self._began,
            right=None if self._answers.scripted else _same(answer, question.expected),
            failure=self._wrong(found),
            **found,
        )

    def _content(self, text: str) -> Any:
        if self._picture is None or self._messages:
            return text
        return [self._picture, {"type": "text", "text": text}]

    async def _stream(self, started: float) -> dict[str, Any]:
        times: list[float] = []
        pieces: list[str] = []
        usage: dict[str, Any] = {}
        request = self._client.stream(
            "POST",
            "/v1/chat/completions",
            json=_request(self._model, self._messages, self._answers),
            headers={"X-Session-ID": self._dialogue.name},
        )
        async with request as response:
            if response.status_code != httpx.codes.OK:
                raise ValueError(f"status {response.status_code}: {(await response.aread())!r}")
            async for line in response.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                chunk = json.loads(line.removeprefix("data: "))
                if chunk["choices"]:
                    times.append(time.perf_counter())  # the role comes with the first token
                    pieces.append(chunk["choices"][0]["delta"].get("content") or "")
                usage = chunk.get("usage") or usage
        if not times or not usage:
            raise ValueError("the stream ended without a token or without usage")
        return {
            "answer": "".join(pieces),
            "ttft_s": times[0] - started,
            "gaps_s": _gaps(times),
            "total_s": time.perf_counter() - started,
            **_counts(usage),
        }

    def _wrong(self, found: dict[str, Any]) -> str | None:
        """What is wrong with an answer that came."""
        wanted = self._answers
        if wanted.scripted and found["tokens"] != wanted.max_tokens:
            return f"{found['tokens']} tokens instead of {wanted.max_tokens}"
        if self._picture and wanted.image_tokens not in (None, found["image_tokens"]):
            return f"{found['image_tokens']} visual tokens instead of {wanted.image_tokens}"
        return None


def _request(model: str, messages: Sequence[Any], answers: Answers) -> dict[str, Any]:
    return {
        "model": model,
        "messages": messages,
        "max_tokens": answers.max_tokens,
        "temperature": 0,
        "ignore_eos": answers.scripted,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _counts(usage: dict[str, Any]) -> dict[str, Any]:
    details = usage.get("prompt_tokens_details") or {}
    savings = usage.get("metacompress") or {}
    return {
        "tokens": usage["completion_tokens"],
        "prompt_tokens": usage["prompt_tokens"],
        "cached_tokens": details.get("cached_tokens") or 0,
        "image_tokens": savings.get("image_tokens", 0),
        "images_reused": savings.get("images_reused"),
    }


def _gaps(times: Sequence[float]) -> tuple[float, ...]:
    """Between tokens: the first chunk is the role alone and comes at the time of the first text."""
    tokens = times[1:]
    return tuple(later - earlier for earlier, later in itertools.pairwise(tokens))


def _picture(path: Path, detail: str | None) -> dict[str, Any]:
    kind = path.suffix.removeprefix(".").replace("jpg", "jpeg")
    encoded = base64.b64encode(path.read_bytes()).decode("ascii")
    image = {"url": f"data:image/{kind};base64,{encoded}"}
    return {"type": "image_url", "image_url": image | ({"detail": detail} if detail else {})}


def _same(answer: str, expected: str) -> bool:
    """Compared without case, outer space and a closing full stop."""
    first, second = (
        " ".join(text.split()).casefold().removesuffix(".") for text in (answer, expected)
    )
    return first == second
