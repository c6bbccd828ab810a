"""What metrics, ledger, access log and switched-off tracing add to a request, as a share of it.

    python -m benchmarks.observability --out benchmarks/results/observability.jsonl

Every hook on a later turn's path is timed alone, as it is called there, and counted as often as
such a request calls it. The sum is set against that request on a real server with the embedded
model, alone on it. The question to the engine at a request's end cannot be timed alone: its bound
is what `GET /v1/sessions/ID`, which asks the engine once (and SQLite), takes beyond
`GET /v1/models`, which does not. Of every time the fastest counts: the machine may be busy, and the
slow ones would make the request look longer rather than the hooks.
"""

import argparse
import contextlib
import io
import json
import logging
import sys
import time
import timeit
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from metacompress_compressor.embedded import pictures_dir
from metacompress_server.demo.dialogue import user_message
from metacompress_server.demo.server import running_server
from metacompress_server.front.access_log import AccessLog, logger
from metacompress_server.front.error_middleware import Message, Receive, Send
from metacompress_server.front.metrics import FrontMetrics
from metacompress_server.front.request_ids import RequestIds
from metacompress_server.pictures.bypass import Bypass
from metacompress_server.pictures.ledger import PictureLedger, PictureTotals
from metacompress_server.pictures.metrics import ImageMetrics
from metacompress_server.pictures.sources import PictureSource
from metacompress_server.prefill_metrics import Prefill, PrefillMetrics
from metacompress_server.sessions.metrics import SessionMetrics
from metacompress_server.tenants import Tenant
from metacompress_server.tracing import current_context, is_tracing, span

MODEL = "metacompress-embedded"
SESSION = "overhead"
AIM = 0.01


@dataclass(frozen=True)
class Hook:
    """One thing that is done for a request; `calls` of it for an answer of so many tokens."""

    name: str
    call: Callable[[], object]
    calls: Callable[[int], int] = lambda tokens: 1


@dataclass(frozen=True)
class RequestTimes:
    """Of the real server, seconds; the fastest of each."""

    later_turn_s: float
    answer_tokens: int
    engine_question_s: float


def hooks() -> list[Hook]:
    """Everything on the path of a later turn with one picture."""
    registry = CollectorRegistry()
    front, sessions = FrontMetrics("m", registry), SessionMetrics("m", 1024, registry)
    images, prefill = ImageMetrics("m", None, registry), PrefillMetrics("m", registry)
    ledger, totals = PictureLedger(256), iter(range(1, sys.maxsize))
    tenant, picture = Tenant("default"), PictureSource("data:image/png;base64," + 65536 * "A")

    def admit_and_finish() -> None:
        ledger.admit("r", "ticket", [(10, 25)], 32)
        ledger.finish(["r"])

    def count() -> None:
        number = next(totals)
        images.update(PictureTotals(pictures=number, kept_tokens=25 * number), None)

    def intake_span() -> None:
        with span("metacompress.intake"):
            pass

    return [
        Hook("request id and access line", _middleware()),
        Hook("bytes of the picture", lambda: front.image_bytes.inc(65536)),
        Hook("lookup of the decoded picture", lambda: front.decoded_lookup(True)),
        Hook("session lookup", lambda: sessions.looked_up("hit")),
        Hook("time to first token", lambda: sessions.first_token(True, "compressed", 0.02)),
        Hook("prefill and its fit", lambda: prefill.note(_PREFILL, later_turn=True)),
        Hook("picture counters", count),
        Hook("ledger: admit and finish", admit_and_finish),
        Hook("ledger: each step", lambda: _step(ledger), lambda tokens: tokens),
        Hook("draw of the bypass, on", lambda: Bypass(0.02).draws(tenant, SESSION, picture)),
        Hook("tracing off: span of the intake", intake_span),
        Hook("tracing off: other checks", lambda: (current_context(), is_tracing())),
    ]


_PREFILL = Prefill(computed_tokens=30, avoided_tokens=0, seconds=0.02, tower_ran=False)


def _step(ledger: PictureLedger) -> None:
    ledger.encode({})
    ledger.finish(())


def _middleware() -> Callable[[], object]:
    """The two outermost layers of the front door around nothing, less the nothing."""

    class State:
        class front:
            access_log = True

    class App:
        state = State

    async def nothing(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Message) -> None:
        pass

    logger.handlers = [logging.StreamHandler(_Nowhere())]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    layers = RequestIds(AccessLog(nothing))
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "app": App}
    scope["headers"] = [(b"content-type", b"application/json")]

    def call() -> None:
        _drive(layers(dict(scope), send, send))  # type: ignore[arg-type]

    return call


class _Nowhere(io.TextIOBase):
    """Where lines go whose writing is another's cost."""

    def write(self, text: str) -> int:
        return len(text)


def _drive(coroutine: Awaitable[None]) -> None:
    """Run what never waits, without an event loop's cost."""
    with contextlib.suppress(StopIteration):
        coroutine.__await__().send(None)


def cost_s(hook: Hook) -> float:
    """Seconds of one call, the fastest of some rounds."""
    number = 2000
    return min(timeit.repeat(hook.call, number=number, repeat=7)) / number


def measure_requests(url: str, rounds: int) -> RequestTimes:
    """Hold a dialogue of two turns again and again, and time its second turn."""
    with httpx.Client(base_url=url, timeout=300, headers={"X-Session-ID": SESSION}) as client:
        line = json.loads((pictures_dir() / "dialogues.jsonl").read_text().splitlines()[0])
        messages = _messages(line)
        first = _answer(client, messages)
        messages += [{"role": "assistant", "content": first["choices"][0]["message"]["content"]}]
        messages += [{"role": "user", "content": line["turns"][1]["question"]}]
        tokens = _answer(client, messages)["usage"]["completion_tokens"]
        later = min(_seconds(lambda: _answer(client, messages)) for _ in range(rounds))
        asking = min(_gets(client, f"/v1/sessions/{SESSION}", 10 * rounds))
        silent = min(_gets(client, "/v1/models", 10 * rounds))
    return RequestTimes(later, tokens, max(0.0, asking - silent))


def _messages(line: dict[str, Any]) -> list[dict[str, Any]]:
    return [user_message(line["turns"][0]["question"], pictures_dir() / line["image"])]


def _answer(client: httpx.Client, messages: list[dict[str, Any]]) -> dict[str, Any]:
    body = {"model": MODEL, "messages": messages, "temperature": 0}
    answer: dict[str, Any] = (
        client.post("/v1/chat/completions", json=body).raise_for_status().json()
    )
    return answer


def _gets(client: httpx.Client, path: str, rounds: int) -> Iterator[float]:
    return (_seconds(lambda: client.get(path).raise_for_status()) for _ in range(rounds))


def _seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def report(times: RequestTimes) -> dict[str, Any]:
    """Print the table. Returns the record's metrics."""
    per_hook = {hook.name: (cost_s(hook), hook.calls(times.answer_tokens)) for hook in hooks()}
    for name, (cost, calls) in per_hook.items():
        print(f"{name:36}{cost * 1e6:9.2f} us x {calls:3} = {cost * calls * 1e6:9.2f} us")
    hooks_s = sum(cost * calls for cost, calls in per_hook.values())
    both_s = hooks_s + times.engine_question_s
    request_s = times.later_turn_s
    print(f"\nhooks{'':31}{hooks_s * 1e6:27.2f} us, {hooks_s / request_s:.3%} of a request")
    print(
        f"the question to the engine, at most{times.engine_question_s * 1e6:28.2f} us, "
        f"{times.engine_question_s / request_s:.3%}"
    )
    print(f"a later turn of {times.answer_tokens} tokens{request_s * 1e6:39.2f} us")
    return {
        "request_s": request_s,
        "answer_tokens": times.answer_tokens,
        "hooks_s": hooks_s,
        "hooks_share": hooks_s / request_s,
        "engine_question_s_at_most": times.engine_question_s,
        "share_at_most": both_s / request_s,
        "hook_s": {name: cost for name, (cost, _) in per_hook.items()},
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print. Exit status 1 where the hooks take more than a hundredth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--url", help="a running server with the embedded model; else one is started"
    )
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", type=Path, help="file of records to add the result to")
    options = parser.parse_args(argv)
    server = contextlib.nullcontext(options.url) if options.url else running_server()
    with server as url:
        times = measure_requests(url, options.rounds)
    metrics = report(times)
    if options.out is not None:
        import torch

        from benchmarks.records import Record, append, provenance

        cell = {"model": MODEL, "turn": "later", "rounds": options.rounds}
        append(options.out, Record("observability", cell, metrics, provenance(torch.device("cpu"))))
    print(json.dumps(metrics))
    return 0 if metrics["hooks_share"] < AIM else 1


if __name__ == "__main__":
    sys.exit(main())
