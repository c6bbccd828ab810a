"""A priority queue whose members can change rank or leave, in O(log n) amortised."""

import heapq
from typing import Any, Generic, Protocol, TypeVar

_SLACK = 64


class Ranked(Protocol):
    """What can be ordered among its like."""

    def __lt__(self, other: Any, /) -> bool: ...


RankT = TypeVar("RankT", bound=Ranked)
MemberT = TypeVar("MemberT")


class RankedQueue(Generic[RankT, MemberT]):
    """Members by rank, the lowest first.

    A member that moves leaves its old entry in the heap, where it is skipped when it surfaces. Once
    old entries outnumber members the heap is rebuilt, so it stays within twice its members.
    """

    def __init__(self) -> None:
        self._ranks: dict[MemberT, tuple[RankT, int]] = {}
        self._heap: list[tuple[RankT, int, MemberT]] = []
        self._pushes = 0

    def __len__(self) -> int:
        return len(self._ranks)

    def __contains__(self, member: MemberT) -> bool:
        return member in self._ranks

    def push(self, member: MemberT, rank: RankT) -> None:
        """Add a member, or give it another rank."""
        self._pushes += 1
        self._ranks[member] = (rank, self._pushes)
        heapq.heappush(self._heap, (rank, self._pushes, member))
        if len(self._heap) > 2 * len(self._ranks) + _SLACK:
            self._heap = [(rank, push, member) for member, (rank, push) in self._ranks.items()]
            heapq.heapify(self._heap)

    def discard(self, member: MemberT) -> None:
        """Take a member out, if it is there."""
        self._ranks.pop(member, None)

    def first(self) -> MemberT | None:
        """The member of lowest rank (of equals, the one pushed first), or None."""
        while self._heap:
            _, push, member = self._heap[0]
            current = self._ranks.get(member)
            if current is not None and current[1] == push:
                return member
            heapq.heappop(self._heap)
        return None
