"""Starts `metacompress serve` with the embedded model for the demo, and stops it again."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import httpx

from .dialogue import DemoError

READY_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 20.0


def is_ready(url: str) -> bool:
    """Whether a server at `url` (`http://host:port`) answers its health check."""
    try:
        return httpx.get(f"{url}/health", timeout=2.0).is_success
    except httpx.TransportError:
        return False


@contextlib.contextmanager
def running_server(
    words: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """A server on a free loopback port while the context lasts; gives its URL.

    Args:
        words: model and flags; none for the embedded model.
        environment: variables on top of this process's own.

    Raises:
        DemoError: it ended before it was ready, or was not ready in time; with its last lines.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        # A group of its own, so that vLLM's worker processes can be ended with it.
        process = subprocess.Popen(
            _command(port, words),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
        try:
            _wait_until_ready(process, url, log)
            yield url
        finally:
            _stop(process)


def _command(port: int, words: Sequence[str]) -> list[str]:
    executable = Path(sys.executable).with_name("metacompress")
    return [str(executable), "serve", *words, "--host", "127.0.0.1", "--port", str(port)]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: IO[str]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not is_ready(url):
        if process.poll() is not None:
            raise DemoError(f"the server ended with status {process.returncode}\n{_tail(log)}")
        if time.monotonic() > deadline:
            raise DemoError(f"no server after {READY_TIMEOUT_S:.0f} s\n{_tail(log)}")
        time.sleep(0.2)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _tail(log: IO[str], lines: int = 15) -> str:
    log.seek(0)
    return "\n".join(log.read().splitlines()[-lines:])
