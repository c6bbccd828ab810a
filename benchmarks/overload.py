"""Twice the load that a server can carry: who gets an answer, how long it takes, who is sent away.

    metacompress serve --port 8250 --max-num-seqs 4 --max-queued-requests 8
    python -m benchmarks.overload --url http://127.0.0.1:8250 --seconds 600

First the capacity is measured with a closed loop, then requests arrive at `--factor` times that
rate (Poisson). The last line is one JSON document. Exit status 1 where an accepted request was not
finished, or anybody got something else than an answer or a 429 with Retry-After.
"""

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

PROMPTS = ("How many objects are there?", "What is left of it?", "Which animals are there?")
ANSWER_S = 300.0


@dataclass
class Outcome:
    """What became of the requests of one phase.

    latencies_s: of accepted requests, in order of arrival.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    without_retry_after: int = 0

    def share(self, start: float, end: float) -> list[float]:
        """Latencies of a stretch of the phase, `start` and `end` in [0, 1]."""
        count = len(self.latencies_s)
        return self.latencies_s[int(start * count) : int(end * count)]


async def ask(client: httpx.AsyncClient, tokens: int, outcome: Outcome) -> None:
    """One request, noted in `outcome`."""
    arrived = time.perf_counter()
    request: dict[str, Any] = {
        "prompt": random.choice(PROMPTS),
        "max_tokens": tokens,
        "ignore_eos": True,
    }
    try:
        answer = await client.post("/v1/completions", json=request)
    except httpx.HTTPError as error:
        outcome.statuses[type(error).__name__] += 1
        return
    outcome.statuses[str(answer.status_code)] += 1
    if answer.status_code == httpx.codes.OK:
        generated = answer.json()["usage"]["completion_tokens"]
        outcome.statuses["cut short"] += generated != tokens
        outcome.latencies_s.append(time.perf_counter() - arrived)
    elif answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        outcome.without_retry_after += "retry-after" not in answer.headers


async def capacity(client: httpx.AsyncClient, at_once: int, seconds: float, tokens: int) -> float:
    """Requests per second with `at_once` clients that each wait for their answer."""
    outcome = Outcome()
    end = time.perf_counter() + seconds

    async def keep_asking() -> None:
        while time.perf_counter() < end:
            await ask(client, tokens, outcome)

    start = time.perf_counter()
    await asyncio.gather(*(keep_asking() for _ in range(at_once)))
    return len(outcome.latencies_s) / (time.perf_counter() - start)


async def flood(
    client: httpx.AsyncClient, rate: float, seconds: float, tokens: int
) -> tuple[Outcome, int]:
    """Requests at `rate` per second, whatever becomes of them; the outcome and their number."""
    outcome, asked = Outcome(), []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        asked.append(asyncio.create_task(ask(client, tokens, outcome)))
        await asyncio.sleep(random.expovariate(rate))
    await asyncio.gather(*asked)
    return outcome, len(asked)


async def measure(
    url: str, at_once: int, seconds: float, tokens: int, factor: float
) -> dict[str, Any]:
    """Both phases, as one JSON document."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=ANSWER_S, limits=limits) as client:
        await capacity(client, at_once, 2, tokens)
        carried = await capacity(client, at_once, max(5.0, seconds / 10), tokens)
        if not carried:
            raise SystemExit(f"{url} answered no request: is the server running there?")
        outcome, asked = await flood(client, factor * carried, seconds, tokens)
    return {
        "capacity_per_s": round(carried, 3),
        "offered_per_s": round(asked / seconds, 3),
        "seconds": seconds,
        "tokens": tokens,
        "requests": asked,
        "statuses": {key: count for key, count in outcome.statuses.items() if count},
        "without_retry_after": outcome.without_retry_after,
        "accepted_per_s": round(len(outcome.latencies_s) / seconds, 3),
        "latency_s": _latencies(outcome),
    }


def _latencies(outcome: Outcome) -> dict[str, float]:
    """Second and last third apart: a queue without bound would show as growth."""
    if len(outcome.latencies_s) < 6:
        return {}
    quantiles = statistics.quantiles(outcome.latencies_s, n=100)
    middle, last = outcome.share(1 / 3, 2 / 3), outcome.share(2 / 3, 1)
    found = {"p50": quantiles[49], "p95": quantiles[94], "max": max(outcome.latencies_s)}
    found |= {"p50_middle": statistics.median(middle), "p50_last": statistics.median(last)}
    return {name: round(value, 3) for name, value in found.items()}


def _record(options: argparse.Namespace, result: dict[str, Any]) -> str:
    import torch  # here, because the load itself can do without

    from benchmarks.records import Record, provenance

    cell = {"factor": options.factor, "tokens": options.tokens, "at_once": options.at_once}
    return Record("overload", cell, result, provenance(torch.device("cpu"))).line()


def sound(result: dict[str, Any]) -> bool:
    """Everybody got an answer or a 429 with Retry-After."""
    return set(result["statuses"]) <= {"200", "429"} and not result["without_retry_after"]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--at-once", type=int, default=4, help="the server's --max-num-seqs")
    parser.add_argument("--tokens", type=int, default=64, help="length of every answer")
    parser.add_argument("--factor", type=float, default=2.0, help="load over capacity")
    options = parser.parse_args(argv)
    result = asyncio.run(
        measure(options.url, options.at_once, options.seconds, options.tokens, options.factor)
    )
    print(_record(options, result))
    return 0 if sound(result) else 1


if __name__ == "__main__":
    sys.exit(main())
