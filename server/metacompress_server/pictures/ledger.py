"""Which pictures went through the vision tower and which came from a cache, seen by the scheduler.

The engine's executor writes it, step by step; the HTTP process reads it by one call. A picture of a
request is *reused* when no tower run was scheduled for that request's picture: its tokens were in
the prefix cache, in the encoder cache, or are being encoded for another request.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

_REMEMBERED_TICKETS = 4096


@dataclass
class PictureTotals:
    """Counts since the engine started.

    pictures: pictures in all requests; kept_tokens: their placeholders.
    tower_runs: pictures that the vision tower encoded; whole_runs: those that kept all their
        tokens.
    reused: pictures of finished requests that needed no run of their own.
    prefix_tokens: prompt tokens whose KV was there, wherever it was kept; prefix_pictures: pictures
        that lay in them whole.
    """

    pictures: int = 0
    kept_tokens: int = 0
    tower_runs: int = 0
    whole_runs: int = 0
    reused: int = 0
    prefix_tokens: int = 0
    prefix_pictures: int = 0


@dataclass
class _Entry:
    ticket: str | None
    whole: list[bool]
    encoded: set[int] = field(default_factory=set)


class PictureLedger:
    """The counts of one engine.

    Args:
        num_visual_tokens: n; None for a model whose pictures always keep all their tokens.
    """

    def __init__(self, num_visual_tokens: int | None) -> None:
        self.totals = PictureTotals()
        self._num_visual_tokens = num_visual_tokens or 0
        self._running: dict[str, _Entry] = {}
        self._encoded_by_ticket: OrderedDict[str, set[int]] = OrderedDict()

    def admit(
        self,
        request_id: str,
        ticket: str | None,
        pictures: Sequence[tuple[int, int]],
        prefix_tokens: int = 0,
    ) -> None:
        """A request is scheduled for the first time, or again after it was preempted.

        Args:
            request_id: the engine's id.
            ticket: what the HTTP process asks by; several requests may share one (`n` > 1).
            pictures: of each picture the first placeholder's index, and how many there are.
            prefix_tokens: tokens at the prompt's start that need not be computed.
        """
        if request_id in self._running:
            return
        self.totals.prefix_tokens += prefix_tokens
        if not pictures:
            return
        whole = [length >= self._num_visual_tokens for _, length in pictures]
        self._running[request_id] = _Entry(ticket, whole)
        self.totals.pictures += len(pictures)
        self.totals.kept_tokens += sum(length for _, length in pictures)
        self.totals.prefix_pictures += sum(
            start + length <= prefix_tokens for start, length in pictures
        )
        if ticket is not None and ticket not in self._encoded_by_ticket:
            self._encoded_by_ticket[ticket] = set()
            if len(self._encoded_by_ticket) > _REMEMBERED_TICKETS:
                self._encoded_by_ticket.popitem(last=False)

    def encode(self, runs: Mapping[str, Iterable[int]]) -> None:
        """The vision tower runs in this step: request id to the indices of its pictures."""
        for request_id, pictures in runs.items():
            indices = list(pictures)
            self.totals.tower_runs += len(indices)
            entry = self._running.get(request_id)
            if entry is None:
                continue
            self.totals.whole_runs += sum(entry.whole[index] for index in indices)
            entry.encoded.update(indices)
            if entry.ticket is not None and entry.ticket in self._encoded_by_ticket:
                self._encoded_by_ticket[entry.ticket].update(indices)

    def tickets(self, request_ids: Iterable[str]) -> list[str]:
        """Those of running requests, where they have one."""
        entries = [self._running.get(request_id) for request_id in request_ids]
        return [entry.ticket for entry in entries if entry is not None and entry.ticket is not None]

    def finish(self, request_ids: Iterable[str]) -> None:
        """Requests that ended or were aborted."""
        for request_id in request_ids:
            entry = self._running.pop(request_id, None)
            if entry is not None:
                self.totals.reused += len(entry.whole) - len(entry.encoded)

    def report(self, ticket: str | None = None) -> dict[str, int | None]:
        """The totals, and under `encoded` the pictures encoded for `ticket` (None: not known)."""
        encoded = None if ticket is None else self._encoded_by_ticket.get(ticket)
        return {**asdict(self.totals), "encoded": None if encoded is None else len(encoded)}


def merge_reports(
    reports: Iterable[Mapping[str, int | None]],
) -> tuple[PictureTotals, int | None]:
    """The reports of several engines as one; a ticket is known to the engine that had its request.

    Returns:
        The totals, and the pictures encoded for the ticket (None: no engine knows it).
    """
    totals, encoded = PictureTotals(), None
    for report in reports:
        for name, count in report.items():
            if name == "encoded":
                encoded = count if encoded is None else encoded
            else:
                setattr(totals, name, getattr(totals, name) + count)
    return totals, encoded
