"""Questions to the engine's processes, as the HTTP side asks them."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

SESSION_KV = "metacompress_session_kv"
"""Argument: scoped session ids; answer: KV by session and in total, by tier."""

DROP_SESSION = "metacompress_drop_session"
"""Argument: a scoped session id; answer: bytes that were freed."""

CACHE_STATS = "metacompress_cache_stats"
"""Answer: hits and bytes of the caches of pictures."""

TIMINGS = "metacompress_timings"
"""Answer: seconds of each batch of pictures since the last question, by part."""

LOOK = "metacompress_look"
"""Argument: one picture's processed inputs; answer: what its kept tokens look at, both as bytes."""

ENCODER_BATCHES = "metacompress_encoder_batches"
"""Argument: a ticket; answer: the batches that held its pictures. Answered where tracing is on."""

ENCODE = "encode"
COMPRESS = "compress"
"""These parts: tower and projector, and the mapping."""

KNOWN_CALLS = "metacompress_calls"
"""Answer: the names of all calls that this engine answers; tiers that are off answer none."""


class EngineCalls(Protocol):
    """One engine, or several that share the requests."""

    async def ask(self, name: str, *args: Any) -> list[Any]:
        """One answer for each engine; none where the engine does not know the question."""
        ...


def added_up(answers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The answers of several engines as one: numbers by sum, times by the latest, maps within."""
    total: dict[str, Any] = {}
    for answer in answers:
        for key, value in answer.items():
            if isinstance(value, Mapping):
                total[key] = added_up([total.get(key, {}), value])
            elif key == "last_used":
                total[key] = max(value or 0.0, total.get(key, 0.0))
            elif isinstance(value, int | float):
                total[key] = total.get(key, 0) + value
    return total
