"""How many requests are let in: in all, of one tenant at a time, and of one tenant per minute."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from metacompress_server.errors import RequestError
from metacompress_server.tenants import Tenant

from .metrics import front_metrics


class Refused(RequestError):
    """Come back later: status 429 or 503.

    reason: of `front_metrics.REFUSALS`.
    retry_after_s: for the header of that name.
    """

    def __init__(
        self, reason: str, message: str, code: str, retry_after_s: float, status: int = 429
    ) -> None:
        super().__init__(message, code=code, status=status)
        self.reason = reason
        self.retry_after_s = retry_after_s


@dataclass
class Bucket:
    """So many per minute, saved up for a minute at most."""

    per_minute: int
    clock: Callable[[], float]
    level: float = field(init=False)
    filled_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.level = float(self.per_minute)
        self.filled_at = self.clock()

    def take(self, amount: int) -> float:
        """Take `amount` and return 0, or take nothing and return the seconds until it is there."""
        now = self.clock()
        gained = (now - self.filled_at) * self.per_minute / 60
        self.level, self.filled_at = min(float(self.per_minute), self.level + gained), now
        if self.level >= amount:
            self.level -= amount
            return 0.0
        return (amount - self.level) * 60 / self.per_minute


@dataclass
class Gate:
    """Counts requests of one HTTP process.

    limit: sequences in flight, running and waiting; None until the engine is known.
    max_bytes: of all bodies that are held at the same time.
    """

    retry_after_s: float
    max_bytes: int
    limit: int | None = None
    draining: bool = False
    clock: Callable[[], float] = time.monotonic
    in_flight: int = 0
    held_bytes: int = 0
    _of_tenant: Counter[str] = field(default_factory=Counter)
    _buckets: dict[tuple[str, str, int], Bucket] = field(default_factory=dict)

    def enter(self, tenant: Tenant) -> "Visit":
        """Let one request in.

        Raises:
            Refused: the server drains or is full, or the tenant's limits are reached.
        """
        if self.draining:
            raise Refused(
                "draining", "the server is shutting down", "server_draining", 1.0, status=503
            )
        self._check_room(1)
        if tenant.max_requests is not None and self._of_tenant[tenant.name] >= tenant.max_requests:
            raise Refused(
                "tenant_limit",
                f"{tenant.max_requests} requests at the same time are allowed",
                "rate_limit_exceeded",
                self.retry_after_s,
            )
        self.take(tenant, "requests", tenant.max_requests_per_minute, 1)
        return Visit(self, tenant)

    def take(self, tenant: Tenant, what: str, per_minute: int | None, amount: int) -> None:
        """Count against a limit per minute.

        Raises:
            Refused: used up.
        """
        if per_minute is None or not amount:
            return
        key = (tenant.name, what, per_minute)
        bucket = self._buckets.setdefault(key, Bucket(per_minute, self.clock))
        wait = bucket.take(amount)
        if wait:
            raise Refused(
                "tenant_limit",
                f"{per_minute} {what} per minute are allowed",
                "rate_limit_exceeded",
                wait,
            )

    def _check_room(self, amount: int) -> None:
        if self.limit is not None and self.in_flight + amount > self.limit:
            raise Refused(
                "overload", "the server is at its limit", "server_overloaded", self.retry_after_s
            )

    def _count(self, tenant: Tenant, sequences: int, requests: int) -> None:
        self.in_flight += sequences
        self._of_tenant[tenant.name] += requests
        front_metrics().in_flight.set(self.in_flight)


@dataclass
class Visit:
    """One request inside; to be left whatever happens."""

    gate: Gate
    tenant: Tenant
    sequences: int = 1
    held: int = 0

    def __post_init__(self) -> None:
        self.gate._count(self.tenant, 1, 1)

    def widen(self, sequences: int) -> None:
        """The request turned out to ask for several answers.

        Raises:
            Refused: no room for them.
        """
        more = sequences - self.sequences
        if more > 0:
            self.gate._check_room(more)
            self.gate._count(self.tenant, more, 0)
            self.sequences = sequences

    def hold(self, num_bytes: int) -> None:
        """More of the body has arrived.

        Raises:
            Refused: all bodies together are too much.
        """
        if self.gate.held_bytes + num_bytes > self.gate.max_bytes:
            raise Refused(
                "overload",
                "the server is at its limit",
                "server_overloaded",
                self.gate.retry_after_s,
            )
        self.held += num_bytes
        self.gate.held_bytes += num_bytes

    def leave(self) -> None:
        """The answer has gone out, or nobody wants it any more."""
        self.gate.held_bytes -= self.held
        self.gate._count(self.tenant, -self.sequences, -1)
        self.held = 0
