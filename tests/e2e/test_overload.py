"""More than the server can carry, clients that hang up, and SIGTERM under load."""

import asyncio
import runpy
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from running_server import RunningServer, Serve

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "overload.py"
FLAGS = ["--max-num-seqs", "2", "--max-queued-requests", "3", "--drain-timeout-s", "60"]
LONG = {"model": "tiny", "prompt": "what", "max_tokens": 500, "ignore_eos": True}


@pytest.fixture(scope="module")
def small(checkpoint: Path, kept: Path, serve_logged: Serve) -> Iterator[RunningServer]:
    command = ["serve", str(checkpoint), "--compressor", str(kept)]
    with serve_logged(command, FLAGS) as running:
        yield running


@pytest.fixture(scope="module")
def idle(small: RunningServer) -> Callable[[], float]:
    """Waits until the engine does nothing and holds nothing; returns the seconds it took."""

    def wait() -> float:
        start = time.monotonic()
        while time.monotonic() - start < 30:
            busy = small.metric("vllm:num_requests_running") + small.metric(
                "metacompress_requests_in_flight"
            )
            if not busy and small.metric("vllm:kv_cache_usage_perc") == 0:
                return time.monotonic() - start
            time.sleep(0.1)
        raise AssertionError("the engine still works for nobody")

    return wait


def test_twice_the_capacity(small: RunningServer, idle: Callable[[], float]) -> None:
    script = runpy.run_path(str(SCRIPT))
    result = asyncio.run(script["measure"](small.url, 2, 15.0, 100, 3.0))
    assert script["sound"](result), result
    assert result["statuses"]["200"] > 5
    assert result["statuses"]["429"] > 5
    assert small.metric("metacompress_requests_refused_total", reason="overload") > 5
    # Five places: nobody waits longer than for the two answers before his own, and some slack.
    assert result["latency_s"]["max"] < 5 * 4 / result["capacity_per_s"]
    idle()


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_hangs_up_frees_its_place(
    small: RunningServer, idle: Callable[[], float], stream: bool
) -> None:
    """500 tokens were asked for; the engine stops long before."""
    before = small.metric("vllm:generation_tokens_total")
    with httpx.Client(base_url=small.url, timeout=3.0 if stream else 0.7) as client:
        if stream:
            with client.stream("POST", "/v1/completions", json={**LONG, "stream": True}) as answer:
                next(answer.iter_lines())
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post("/v1/completions", json=LONG)
    idle()
    assert small.metric("vllm:generation_tokens_total") - before < LONG["max_tokens"]  # type: ignore[operator]


def test_limits_are_seen_in_the_metrics(small: RunningServer) -> None:
    assert small.metric("metacompress_requests_limit") == 5
    assert small.metric("metacompress_draining") == 0


def test_sigterm_lets_running_answers_end(small: RunningServer) -> None:
    """Last in this file: the server is gone afterwards."""
    lines: list[str] = []
    begun = threading.Event()

    def read() -> None:
        request: dict[str, Any] = {**LONG, "stream": True}
        with httpx.stream(
            "POST", f"{small.url}/v1/completions", json=request, timeout=60
        ) as answer:
            for line in answer.iter_lines():
                lines.append(line)
                begun.set()

    reading = threading.Thread(target=read)
    reading.start()
    assert begun.wait(30)
    small.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert small.get("/health").status_code == 200
    assert small.get("/ready").status_code == 503
    refused = small.post("/v1/completions", json=LONG)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "server_draining")
    assert refused.headers["retry-after"]
    reading.join(60)
    assert lines[-2:] == ["data: [DONE]", ""]
    assert sum(line.startswith("data: {") for line in lines) > 100
    small.process.wait(60)
