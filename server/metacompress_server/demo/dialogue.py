"""Holds one dialogue about a picture with a running server, as any `openai` client would."""

import base64
import json
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import OpenAI
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk

MAX_ANSWER_TOKENS = 48


class DemoError(Exception):
    """The demo cannot go on; the message says why in one line."""


@dataclass(frozen=True)
class Question:
    """A question about a picture and the answer that is right."""

    text: str
    expected: str


@dataclass(frozen=True)
class PictureDialogue:
    """A picture and the questions to ask about it, in order."""

    picture: Path
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class TurnResult:
    """One answered question.

    cached_tokens: prompt tokens whose KV was reused; None where the server does not tell.
    images_reused: pictures whose compressed tokens were reused; None where it cannot be told.
    """

    question: str
    answer: str
    expected: str
    image_tokens_original: int
    image_tokens: int
    images_reused: int | None
    prompt_tokens: int
    cached_tokens: int | None
    ttft_s: float

    @property
    def is_right(self) -> bool:
        return normalize_answer(self.answer) == normalize_answer(self.expected)


def normalize_answer(text: str) -> str:
    """Answers are compared without case, outer space and a closing full stop."""
    return " ".join(text.split()).casefold().removesuffix(".")


def load_dialogues(folder: Path, num_pictures: int, num_turns: int) -> list[PictureDialogue]:
    """Read the first pictures of a folder with their first questions.

    Args:
        folder: Holds `dialogues.jsonl`, lines of
            `{"image": NAME, "turns": [{"question", "answer", ...}]}`, and the pictures.

    Raises:
        DemoError: no such file, or it holds fewer pictures or turns than asked for.
    """
    index = folder / "dialogues.jsonl"
    if not index.is_file():
        raise DemoError(f"no dialogues.jsonl in {folder}")
    lines = index.read_text(encoding="utf-8").splitlines()[:num_pictures]
    dialogues = [_parse_dialogue(folder, json.loads(line), num_turns) for line in lines]
    if len(dialogues) < num_pictures:
        raise DemoError(f"{index} holds {len(dialogues)} pictures, {num_pictures} are needed")
    return dialogues


def _parse_dialogue(folder: Path, row: dict[str, Any], num_turns: int) -> PictureDialogue:
    turns = row["turns"][:num_turns]
    if len(turns) < num_turns:
        raise DemoError(f"{row['image']} has {len(turns)} turns, {num_turns} are needed")
    questions = tuple(Question(turn["question"], turn["answer"]) for turn in turns)
    return PictureDialogue(folder / row["image"], questions)


def ask_dialogue(client: OpenAI, model: str, dialogue: PictureDialogue) -> Iterator[TurnResult]:
    """Ask the questions in order, as one session: each turn carries all before it."""
    messages: list[dict[str, Any]] = []
    session = f"demo-{uuid.uuid4()}"
    for question in dialogue.questions:
        messages.append(user_message(question.text, None if messages else dialogue.picture))
        result = _ask(client, model, session, messages, question)
        messages.append({"role": "assistant", "content": result.answer})
        yield result


def user_message(text: str, picture: Path | None) -> dict[str, Any]:
    """A user's turn, with the picture as a data URL before the text where there is one."""
    if picture is None:
        return {"role": "user", "content": text}
    encoded = base64.b64encode(picture.read_bytes()).decode("ascii")
    kind = picture.suffix.removeprefix(".").replace("jpg", "jpeg")
    image = {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{encoded}"}}
    return {"role": "user", "content": [image, {"type": "text", "text": text}]}


def _ask(
    client: OpenAI, model: str, session: str, messages: Sequence[Any], question: Question
) -> TurnResult:
    started = time.perf_counter()
    stream = client.chat.completions.create(
        model=model,
        messages=messages,
        temperature=0,
        max_tokens=MAX_ANSWER_TOKENS,
        stream=True,
        stream_options={"include_usage": True},
        extra_headers={"X-Session-ID": session},
    )
    answer, usage, ttft_s = read_stream(stream, started)
    return turn_result(question, answer, usage, ttft_s)


def read_stream(
    stream: Iterable[ChatCompletionChunk], started: float
) -> tuple[str, CompletionUsage, float]:
    """Collect an answer.

    Returns: the text, the usage of the last chunk, and the seconds from `started` (a reading of
        `time.perf_counter`) to the first text.

    Raises:
        DemoError: the stream ended without any text or without usage.
    """
    pieces: list[str] = []
    usage: CompletionUsage | None = None
    ttft_s = 0.0
    for chunk in stream:
        text = chunk.choices[0].delta.content if chunk.choices else None
        if text and not pieces:
            ttft_s = time.perf_counter() - started
        if text:
            pieces.append(text)
        usage = chunk.usage or usage
    if not pieces:
        raise DemoError("the server answered without any text")
    if usage is None:
        raise DemoError("the server's stream ended without usage")
    return "".join(pieces), usage, ttft_s


def turn_result(
    question: Question, answer: str, usage: CompletionUsage, ttft_s: float
) -> TurnResult:
    """Join an answer with what `usage` tells about it.

    Raises:
        DemoError: `usage` has no `metacompress` field.
    """
    savings = (usage.model_extra or {}).get("metacompress")
    if savings is None:
        raise DemoError("usage has no field `metacompress`: this is not a MetaCompress server")
    details = usage.prompt_tokens_details
    return TurnResult(
        question=question.text,
        answer=" ".join(answer.split()),
        expected=question.expected,
        image_tokens_original=savings["image_tokens_original"],
        image_tokens=savings["image_tokens"],
        images_reused=savings.get("images_reused"),
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=details.cached_tokens if details else None,
        ttft_s=ttft_s,
    )
