"""The records of the index: a session, its hold on a block, and one request's visit."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from .ranked_queue import RankedQueue


class Reason(StrEnum):
    """Why a session lost a block."""

    TTL = "ttl"
    LRU = "lru"
    CAPACITY = "capacity"
    DELETED = "deleted"


class Place(NamedTuple):
    """Where a block stands in the prompt of the request that uses it.

    position: tokens up to the block's end.
    protected: whether it lies in the prefix up to the last picture.
    """

    position: int
    protected: bool


class Hold(NamedTuple):
    """A session's claim on a block: the visit that used it last, and where it stood then."""

    turn: int
    place: Place

    @property
    def rank(self) -> tuple[int, int]:
        """Lowest goes first: branches that no later turn took up, then the end of the prompt.

        A prefix with a hole is worth what stands before the hole, so prompts lose their end first.
        """
        return (self.turn, -self.place.position)


Queue = RankedQueue[tuple[int, int], bytes]


@dataclass(eq=False, slots=True, weakref_slot=True)
class Session:
    """Blocks that live and die together.

    group: the session's id, or the request's where the client named no session.
    named: whether the client named it. Blocks move between unnamed groups instead of being shared.
    """

    group: str
    named: bool
    last_used: float = 0.0
    sequence: int = 0
    turn: int = 0
    held_bytes: int = 0
    deleted: bool = False
    holds: dict[bytes, Hold] = field(default_factory=dict)
    text: Queue = field(default_factory=RankedQueue)
    pictures: Queue = field(default_factory=RankedQueue)

    def queue(self, protected: bool) -> Queue:
        return self.pictures if protected else self.text


@dataclass(eq=False, slots=True)
class Block:
    """One block of keys and values.

    pins: transfers under way; a pinned block is not evicted.
    owners: named sessions that hold it, besides `stray`, the unnamed one.
    aside: the session whose queue met the block while it was pinned.
    """

    size: int
    pins: int
    owners: set[Session] = field(default_factory=set)
    stray: Session | None = None
    aside: Session | None = None

    @property
    def owned(self) -> bool:
        return bool(self.owners) or self.stray is not None

    @property
    def shared(self) -> bool:
        return len(self.owners) + (self.stray is not None) > 1


class Visit(NamedTuple):
    """One request's use of a session."""

    session: Session
    turn: int


class SessionUse(NamedTuple):
    """What one session holds. last_used: seconds since the epoch."""

    bytes: int
    blocks: int
    last_used: float
