"""What a traced request's span tells when it has its answer: its pictures, and spans below it."""

import time
from typing import TYPE_CHECKING

from metacompress_server.engine_calls import ENCODER_BATCHES, EngineCalls
from metacompress_server.pictures.usage import ImageUsage
from metacompress_server.tracing import ENCODER_PREFIX, PREFILL, describe, is_tracing, past_span

if TYPE_CHECKING:
    from .request_turn import RequestTurn


async def trace_turn(turn: "RequestTurn", savings: ImageUsage, engine: EngineCalls) -> None:
    """Nothing when tracing is off. Counts and times only: no content, no client's id."""
    if not is_tracing():
        return
    describe(turn.trace, {f"metacompress.{name}": n for name, n in savings.as_field().items()})
    if turn.prefill_s is not None:
        past_span(
            PREFILL,
            turn.prefill_start_s,
            turn.prefill_s,
            turn.trace,
            prompt_tokens=turn.prompt_tokens,
            cached_tokens=turn.cached_tokens,
        )
    for batches in await engine.ask(ENCODER_BATCHES, turn.ticket):
        for part, start_s, seconds, pictures in batches:
            past_span(ENCODER_PREFIX + part, start_s, seconds, turn.trace, pictures=pictures)


def wall_clock(engine_s: float, since: float) -> float:
    """An engine's time as seconds since 1970: its clock is that of all processes of a machine.

    Args:
        since: when the request came here, which an engine on another machine may seem to precede.
    """
    return min(max(since, time.time() - (time.monotonic() - engine_s)), time.time())
