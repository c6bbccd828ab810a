"""What pictures hold of a server's KV cache, and how many sessions it keeps."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.capacity.subject import BLOCK_TOKENS, WORDS, Subject, good_turns
from benchmarks.serving.client import hold, probe
from benchmarks.serving.dialogues import noise
from benchmarks.serving.turns import Dialogue, Question


def held(subject: Subject, folder: Path) -> dict[str, Any]:
    """Blocks of a picture, and sessions that fit: predicted and measured."""
    name = f"held-{subject.contestant.image_tokens}"
    footprint = probe("footprint", subject.load(noise(folder, f"{name}-print", 1, 1)))
    (turn,) = good_turns(hold(subject.load(_alike(folder, f"{name}-one", 1))))
    text = turn.prompt_tokens - turn.image_tokens
    cost = subject.cost(text)
    predicted = cost.fitting(subject.kv_bytes)
    return {
        "text_tokens": text,
        "visual_tokens_held": {
            "predicted": cost.num_compressed_tokens,
            "measured": footprint["held_tokens"],
        },
        "sessions": {"predicted": predicted, "measured": fitting(subject, predicted, folder)},
        "session_blocks": {"answering": cost.blocks, "waiting": cost.kept_blocks},
    }


def fitting(subject: Subject, start: int, folder: Path) -> int:
    """The most sessions that can be opened before the first of them is lost.

    So many new ones are opened, one after the other, then the first alone is asked again.

    Args:
        subject: whose server.
        start: where to begin to look.
        folder: for pictures.
    """
    count = start
    while _all_kept(subject, count, folder):
        count += 1
    if count > start:
        return count - 1
    while count and not _all_kept(subject, count, folder):
        count -= 1
    return count


def _all_kept(subject: Subject, count: int, folder: Path) -> bool:
    """Whether the first of `count` new sessions is still whole after the last."""
    name = f"fit-{subject.contestant.image_tokens}-{count}-{time.monotonic_ns()}"
    sessions = _alike(folder, name, count)
    good_turns(hold(subject.load(sessions)))
    (again,) = good_turns(hold(subject.load(sessions[:1])))
    return again.cached_tokens >= (again.prompt_tokens - 1) // BLOCK_TOKENS * BLOCK_TOKENS


def _alike(folder: Path, name: str, count: int) -> list[Dialogue]:
    """About pictures that nobody saw before, all with the same question, so of one length."""
    question = Question(" ".join(WORDS), "")
    return [replace(dialogue, questions=(question,)) for dialogue in noise(folder, name, count, 1)]
