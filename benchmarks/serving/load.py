"""Dialogues with a server: so many at once, or as they arrive; never longer than allowed."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable

import httpx

from benchmarks.serving.addresses import loopback
from benchmarks.serving.chat import Conversation
from benchmarks.serving.counters import difference, read_counters
from benchmarks.serving.turns import Load, Outcome, Turn

_ANSWER_S = 120.0


async def run_load(load: Load, transport: httpx.AsyncBaseTransport | None = None) -> Outcome:
    """Hold all dialogues of a load, within its longest time.

    Args:
        load: what is asked.
        transport: in the place of the network, for tests.

    Raises:
        NotLoopbackError: before any connection.
    """
    url = loopback(load.url)
    transport = transport or httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=None))
    async with httpx.AsyncClient(base_url=url, timeout=_ANSWER_S, transport=transport) as client:
        before = await read_counters(client)
        began = time.perf_counter()
        held = _Held(client, load, began)
        try:
            async with asyncio.timeout(load.longest_s):
                await _LOOPS[load.loop](load, held)
        except TimeoutError:
            held.give_up()
        seconds = time.perf_counter() - began
        after = await read_counters(client)
    return Outcome(tuple(held.turns), seconds, difference(before, after))


class _Held:
    """The conversations of a load and every turn of them so far."""

    def __init__(self, client: httpx.AsyncClient, load: Load, began: float) -> None:
        self._load = load
        self._talks = [
            Conversation(client, load.model, dialogue, load.answers, began)
            for dialogue in load.dialogues
        ]
        self._broken: set[int] = set()
        self._asked: set[tuple[int, int]] = set()
        self.turns: list[Turn] = []

    async def ask(self, index: int, number: int) -> bool:
        """One question. Returns whether the dialogue may go on: a broken one is not asked on."""
        if index in self._broken or number >= len(self._load.dialogues[index].questions):
            return False
        turn = await self._talks[index].ask(number)
        self._asked.add((index, number))
        self.turns.append(turn)
        if turn.failure:
            self._broken.add(index)
        return not turn.failure

    async def whole(self, index: int) -> None:
        """All questions of a dialogue, with time to think before each but the first."""
        number = 0
        while await self.ask(index, number):
            number += 1
            if number < len(self._load.dialogues[index].questions):
                await asyncio.sleep(self._load.think_s)

    def give_up(self) -> None:
        """Every question that has no answer yet is a failure."""
        for index, dialogue in enumerate(self._load.dialogues):
            for number in range(len(dialogue.questions)):
                if (index, number) not in self._asked and index not in self._broken:
                    self.turns.append(Turn(dialogue.name, number, 0.0, failure="out of time"))


async def _closed(load: Load, held: _Held) -> None:
    await _at_once(load.at_once, (held.whole(index) for index in range(len(load.dialogues))))


async def _rounds(load: Load, held: _Held) -> None:
    for number in range(max(len(dialogue.questions) for dialogue in load.dialogues)):
        await _at_once(
            load.at_once, (held.ask(index, number) for index in range(len(load.dialogues)))
        )


async def _open(load: Load, held: _Held) -> None:
    arrivals = random.Random(load.seed)
    async with asyncio.TaskGroup() as group:
        for index in range(len(load.dialogues)):
            group.create_task(held.whole(index))
            await asyncio.sleep(arrivals.expovariate(load.rate))


async def _at_once(count: int, waiting: Iterable[Awaitable[object]]) -> None:
    """Await all, `count` at a time, in order."""
    queue = iter(waiting)  # lazy: what is given up was never begun

    async def work() -> None:
        for one in queue:
            await one

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(work())


_LOOPS: dict[str, Callable[[Load, _Held], Awaitable[None]]] = {
    "closed": _closed,
    "rounds": _rounds,
    "open": _open,
}
