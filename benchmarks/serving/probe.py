"""What a picture takes of the engine's KV memory, and how many sessions that memory holds.

**Footprint.** One picture, then a text of every length over a whole block, each asked twice. The
second time the engine says how many tokens it found in its blocks: of a prompt of P tokens all
whole blocks before the last token. Over all phases of a block of b that is P less (b + 1) / 2 on
average, so what is left after the text, which the server counts itself, is the picture.

**Fit.** Sessions are opened one after the other, then asked again, the youngest first: the engine
forgets the oldest first, so those that still find their picture before the first that does not are
the sessions that fit.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.serving.addresses import loopback
from benchmarks.serving.chat import Conversation
from benchmarks.serving.counters import labels, read_page
from benchmarks.serving.turns import Dialogue, Load, Question, Turn

_CACHE = "vllm:cache_config_info"
_WORD = "left"
_ANSWER_S = 120.0


class ProbeError(RuntimeError):
    """A probe that could not measure. The message is one line."""


@dataclass(frozen=True)
class Footprint:
    """Of one picture.

    held_tokens: tokens' worth of blocks.
    counted_tokens: what the server says that the picture costs.
    capacity_tokens: of the whole KV memory.
    """

    held_tokens: float
    counted_tokens: int
    capacity_tokens: int


async def footprint(load: Load) -> Footprint:
    """Measure with the first dialogue's picture.

    Raises:
        NotLoopbackError: before any connection.
        ProbeError: a question failed, or the texts missed a phase of the block.
    """
    async with _client(load) as client:
        block, capacity = await _memory(client)
        turns = []
        for words in range(1, block + 1):
            question = Question(" ".join([_WORD] * words), "")
            dialogue = Dialogue(f"footprint-{words}", load.dialogues[0].picture, (question,))
            for _ in range(2):
                talk = Conversation(client, load.model, dialogue, load.answers, 0.0)
                turn = _good(await talk.ask(0))
            turns.append(turn)
    return Footprint(held_tokens(turns, block), turns[0].image_tokens, capacity)


def held_tokens(turns: list[Turn], block: int) -> float:
    """Tokens of the picture in the blocks that were found, from prompts of every phase.

    Raises:
        ProbeError: a phase is missing, or there twice.
    """
    phases = {turn.prompt_tokens % block for turn in turns}
    if not len(phases) == len(turns) == block:
        raise ProbeError(f"{len(turns)} texts have {len(phases)} lengths, modulo {block}")
    rest = [turn.cached_tokens - (turn.prompt_tokens - turn.image_tokens) for turn in turns]
    return sum(rest) / len(rest) + (block + 1) / 2


@dataclass(frozen=True)
class Fit:
    """How many sessions found their picture again, of how many that were opened."""

    fitting: int
    opened: int
    capacity_tokens: int


async def fit(load: Load) -> Fit:
    """Measure with all dialogues of a load: each its first question, then each its second.

    Raises:
        NotLoopbackError: before any connection.
        ProbeError: a turn failed, or all sessions fitted, so that more would.
    """
    async with _client(load) as client:
        _, capacity = await _memory(client)
        talks = [
            Conversation(client, load.model, dialogue, load.answers, 0.0)
            for dialogue in load.dialogues
        ]
        for talk in talks:
            _good(await talk.ask(0))
        fitting = 0
        for talk in reversed(talks):
            turn = _good(await talk.ask(1))
            if turn.cached_tokens < turn.image_tokens:
                break
            fitting += 1
    if fitting == len(talks):
        raise ProbeError(f"all {fitting} sessions fitted: open more")
    return Fit(fitting, len(talks), capacity)


def _client(load: Load) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=loopback(load.url), timeout=_ANSWER_S)


async def _memory(client: httpx.AsyncClient) -> tuple[int, int]:
    """Tokens of a block, and of all blocks."""
    found = labels(await read_page(client), _CACHE)
    block = int(found["block_size"])
    return block, block * int(found["num_gpu_blocks"])


def _good(turn: Turn) -> Turn:
    if turn.failure:
        raise ProbeError(f"turn {turn.number} of {turn.dialogue}: {turn.failure}")
    return turn


PROBES: dict[str, Callable[[Load], Awaitable[Any]]] = {"footprint": footprint, "fit": fit}
