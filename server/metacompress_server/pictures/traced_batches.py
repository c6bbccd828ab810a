"""Which batch of the vision tower held which request's pictures, where requests are traced.

The scheduler says what each step encodes; the worker says, later on a GPU, how long each batch
took. Both come in the same order, so counting pictures brings them together.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from metacompress_server.engine_calls import COMPRESS, ENCODE

_REMEMBERED = 1024

Batch = tuple[str, float, float, int]
"""Part, start in seconds since 1970, seconds it took, pictures in it."""


@dataclass
class _Step:
    tickets: Sequence[str]
    pictures: int


class TracedBatches:
    """Bounded: of a ticket that nobody asks for, nothing is kept for long."""

    def __init__(self) -> None:
        self._steps: dict[str, deque[_Step]] = {
            part: deque(maxlen=_REMEMBERED) for part in (ENCODE, COMPRESS)
        }
        self._by_ticket: OrderedDict[str, list[Batch]] = OrderedDict()

    def scheduled(self, tickets: Iterable[str], pictures: int) -> None:
        """A step encodes so many pictures, of these tickets."""
        known = list(tickets)
        for steps in self._steps.values():
            steps.append(_Step(known, pictures))

    def measured(self, batches: Iterable[Batch]) -> None:
        """Batches that came to their end, in order."""
        for batch in batches:
            part, _, _, pictures = batch
            steps = self._steps[part]
            if not steps:
                continue
            for ticket in steps[0].tickets:
                self._by_ticket.setdefault(ticket, []).append(batch)
            steps[0].pictures -= pictures
            if steps[0].pictures <= 0:
                steps.popleft()
        while len(self._by_ticket) > _REMEMBERED:
            self._by_ticket.popitem(last=False)

    def take(self, ticket: str) -> list[Batch]:
        """The batches that held pictures of a ticket, given out once."""
        return self._by_ticket.pop(ticket, [])
