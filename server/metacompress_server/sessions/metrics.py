"""Prometheus series of sessions and their turns, next to vLLM's own on /metrics.

Every HTTP process counts what it sees itself, so counters and histograms add up. Gauges are set by
the leading process alone, and are 0 in all others: they add up too.
"""

from collections.abc import Iterable
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from .records import EndedSession, Found, StoreTotals

_FOUND = ("hit", "miss", "expired")
_REASONS = ("ttl", "lru", "deleted")
_TURNS = ("first", "later")
PICTURES = ("compressed", "full", "bypassed", "none")
"""How a request's pictures were served: at least one compressed; all whole, because somebody said
so; all whole, because the dialogue was drawn (`--bypass-share`); there were none."""

_TTFT_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2)
_DURATION_S = (1, 10, 60, 300, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_TURN_COUNTS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 1000)


class SessionMetrics:
    """The series of one server, all there and 0 from the start.

    Args:
        model_name: as clients name it.
        bytes_per_token: keys and values of one token in all layers.
        registry: None for the process's own.
    """

    def __init__(
        self, model_name: str, bytes_per_token: int, registry: CollectorRegistry | None = None
    ) -> None:
        self._registry = registry or REGISTRY
        self._model_name = model_name
        self._bytes_per_token = bytes_per_token
        self._lookups = self._counters(
            "session_lookups", "Requests with a session id: what was known.", "result", _FOUND
        )
        self._evictions = self._counters(
            "session_evictions", "Sessions that ended.", "reason", _REASONS
        )
        self._uploads_avoided = self._counters(
            "image_uploads_avoided",
            "Pictures in requests that were named by the id of an uploaded file.",
            "by",
            ("file_id",),
        )["file_id"]
        self._active = self._gauge("sessions_active", "Live sessions.")
        self._visual = self._gauge(
            "session_visual_kv_bytes", "KV of the kept visual tokens of live sessions' pictures."
        )
        self._avoided = self._gauge(
            "session_visual_kv_avoided_bytes",
            "KV that these pictures would take besides, without compression.",
        )
        ttft = Histogram(
            "metacompress_turn_time_to_first_token_seconds",
            "From the request's arrival to its first token, by turn and by how its pictures were "
            "served.",
            ["model_name", "turn", "pictures"],
            registry=self._registry,
            buckets=_TTFT_S,
        )
        self._ttft = {
            (turn, pictures): ttft.labels(model_name, turn, pictures)
            for turn in _TURNS
            for pictures in PICTURES
        }
        self._duration = self._histogram(
            "session_duration_seconds", "Of ended sessions: first to last use.", _DURATION_S
        )
        self._turns = self._histogram("session_turns", "Of ended sessions.", _TURN_COUNTS)

    def looked_up(self, found: Found) -> None:
        """A request named a session."""
        self._lookups[found].inc()

    def ended(self, sessions: Iterable[EndedSession]) -> None:
        """Sessions that are no more."""
        for session in sessions:
            self._evictions[session.reason].inc()
            self._duration.observe(session.duration_s)
            self._turns.observe(session.turns)

    def upload_avoided(self) -> None:
        """A picture was named by its file."""
        self._uploads_avoided.inc()

    def first_token(self, later_turn: bool, pictures: str, seconds: float) -> None:
        """A request's first token came; `pictures` is one of `PICTURES`."""
        self._ttft["later" if later_turn else "first", pictures].observe(seconds)

    def update(self, sessions: StoreTotals) -> None:
        """Set the gauges. For the leading process alone."""
        avoided = sessions.tokens_original - sessions.tokens_kept
        self._active.set(sessions.sessions)
        self._visual.set(sessions.tokens_kept * self._bytes_per_token)
        self._avoided.set(avoided * self._bytes_per_token)

    def _counters(
        self, name: str, help_text: str, label: str, values: tuple[str, ...]
    ) -> dict[str, Any]:
        counter = Counter(
            f"metacompress_{name}", help_text, ["model_name", label], registry=self._registry
        )
        return {value: counter.labels(self._model_name, value) for value in values}

    def _gauge(self, name: str, help_text: str) -> Any:
        gauge = Gauge(
            f"metacompress_{name}",
            help_text,
            ["model_name"],
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        return gauge.labels(self._model_name)

    def _histogram(self, name: str, help_text: str, buckets: tuple[float, ...]) -> Any:
        histogram = Histogram(
            f"metacompress_{name}",
            help_text,
            ["model_name"],
            registry=self._registry,
            buckets=buckets,
        )
        return histogram.labels(self._model_name)
