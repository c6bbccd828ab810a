"""Prometheus series of the prefill that compression avoids: tokens exact, time an estimate."""

from dataclasses import dataclass

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from .prefill_calibration import PrefillCalibration

_TURNS = ("first", "later")


@dataclass(frozen=True)
class Prefill:
    """What a request's prefill did.

    computed_tokens: prompt tokens that were in no cache.
    avoided_tokens: visual tokens that it would have computed besides, without compression.
    seconds: from its first scheduling to its first token; None where vLLM keeps no statistics.
    tower_ran: whether the seconds hold a run of the vision tower.
    """

    computed_tokens: int
    avoided_tokens: int
    seconds: float | None
    tower_ran: bool


class PrefillMetrics:
    """The series of one HTTP process, all there and 0 from the start.

    Tokens that were avoided before the cost of a token is known wait for it.
    """

    def __init__(self, model_name: str, registry: CollectorRegistry = REGISTRY) -> None:
        tokens = Counter(
            "metacompress_prefill_tokens_avoided",
            "Visual tokens that prefills would have computed besides, without compression.",
            ["model_name", "turn"],
            registry=registry,
        )
        seconds = Counter(
            "metacompress_prefill_seconds_avoided_estimate",
            "Estimate: these tokens times the measured cost of a prompt token.",
            ["model_name", "turn"],
            registry=registry,
        )
        self._cost = Gauge(
            "metacompress_prefill_seconds_per_token",
            "Cost of one more prompt token in prefill, fitted to the requests; 0: not known yet.",
            ["model_name"],
            registry=registry,
            multiprocess_mode="livemax",
        ).labels(model_name)
        self._requests = Gauge(
            "metacompress_prefill_calibration_requests",
            "How many requests that fit rests on; older ones weigh less.",
            ["model_name"],
            registry=registry,
            multiprocess_mode="livesum",
        ).labels(model_name)
        self._tokens = {turn: tokens.labels(model_name, turn) for turn in _TURNS}
        self._seconds = {turn: seconds.labels(model_name, turn) for turn in _TURNS}
        self._waiting = dict.fromkeys(_TURNS, 0)
        self._calibration = PrefillCalibration()

    def note(self, prefill: Prefill, *, later_turn: bool) -> None:
        """A request has its answer."""
        if prefill.seconds is not None and not prefill.tower_ran:
            self._calibration.observe(prefill.computed_tokens, prefill.seconds)
            self._requests.set(self._calibration.requests)
        turn = "later" if later_turn else "first"
        self._tokens[turn].inc(prefill.avoided_tokens)
        self._waiting[turn] += prefill.avoided_tokens
        cost = self._calibration.seconds_per_token
        if cost is None:
            return
        self._cost.set(cost)
        for kind, tokens in self._waiting.items():
            self._seconds[kind].inc(tokens * cost)
            self._waiting[kind] = 0
