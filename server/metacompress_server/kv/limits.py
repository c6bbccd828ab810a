"""How much a tier may hold, and how long."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Budgets of one tier.

    max_bytes: of all sessions together.
    session_share: largest share of it that one session may take, in (0, 1].
    ttl_s: seconds without use after which a session's blocks go.

    Raises:
        ValueError: a budget that makes no sense.
    """

    max_bytes: int
    session_share: float
    ttl_s: float

    def __post_init__(self) -> None:
        if self.max_bytes < 0:
            raise ValueError(f"a tier of {self.max_bytes} bytes")
        if not 0 < self.session_share <= 1:
            raise ValueError(f"a session's share of {self.session_share} is not in (0, 1]")
        if self.ttl_s <= 0:
            raise ValueError(f"a life of {self.ttl_s} s")

    @property
    def session_bytes(self) -> int:
        """What one session may hold."""
        return int(self.max_bytes * self.session_share)
