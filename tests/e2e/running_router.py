"""Starts vLLM's router as deploy/router/route.sh does, before servers that run already."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from running_server import RunningServer, free_port

SCRIPT = Path(__file__).parents[2] / "deploy/router/route.sh"
STARTUP_S = 120.0


@contextmanager
def route(replicas: Sequence[RunningServer], log: Path) -> Iterator[str]:
    """Its URL, until the block ends."""
    port = free_port()
    environment = {
        **os.environ,
        "PORT": str(port),
        "METRICS_PORT": str(free_port()),
        "VLLM_ROUTER": str(Path(sys.executable).with_name("vllm-router")),
    }
    command = [SCRIPT, *(replica.url for replica in replicas)]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/health").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"the router is not ready:\n{log.read_text()[-2000:]}")
