"""What is known of a session: its pictures, its turns, its times."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Found = Literal["hit", "miss", "expired"]
Reason = Literal["ttl", "lru", "deleted"]


@dataclass(frozen=True)
class SessionLimits:
    """What one session may hold, and how long it may lie idle."""

    ttl_s: float
    max_images: int
    max_turns: int


@dataclass(frozen=True)
class SessionPicture:
    """A picture in a session.

    identity: its name in every cache; the same picture at another budget has another one.
    detail: as the client asked, `auto` where it did not.
    tokens_original, tokens_kept: n and m.
    uses: requests of the session that had it in their prompt.
    first_turn: counted from 1.
    """

    identity: str
    detail: str
    tokens_original: int
    tokens_kept: int
    uses: int = 1
    first_turn: int = 1


@dataclass(frozen=True)
class Session:
    """A live session. Times are seconds since 1970; tokens and reuses are sums over its turns.

    scoped: its name in the engine.
    """

    id: str
    scoped: str
    created: float
    used: float
    turns: int
    prompt_tokens: int
    cached_tokens: int
    images_reused: int
    pictures: Sequence[SessionPicture]

    @property
    def tokens_original(self) -> int:
        """Visual tokens of its pictures without compression."""
        return sum(picture.tokens_original for picture in self.pictures)

    @property
    def tokens_kept(self) -> int:
        """Visual tokens of its pictures as the language model sees them."""
        return sum(picture.tokens_kept for picture in self.pictures)


@dataclass(frozen=True)
class EndedSession:
    """A session that is no more, and why."""

    id: str
    scoped: str
    turns: int
    duration_s: float
    reason: Reason


@dataclass(frozen=True)
class Turn:
    """What a turn found: a live session, none, or one that had just expired; its number from 1."""

    found: Found
    number: int


@dataclass(frozen=True)
class StoreTotals:
    """What all live sessions together have: their pictures' visual tokens, before and after."""

    sessions: int
    tokens_original: int
    tokens_kept: int
