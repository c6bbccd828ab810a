"""Starts a server as a user would, in a process of its own, and stops it."""

import functools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from openai import OpenAI

STARTUP_S = 480.0
ANSWER_S = 120.0
COMMON_FLAGS = [
    *("--dtype", "float32", "--kv-cache-memory-bytes", str(1 << 25), "--block-size", "32"),
    *("--max-num-seqs", "8", "--served-model-name", "tiny", "--enforce-eager"),
]


Serve = Callable[..., AbstractContextManager["RunningServer"]]
"""`serve` as the fixture `serve_logged` gives it, with the folder of logs filled in."""


@dataclass
class RunningServer:
    """A server that answers."""

    url: str
    log: Path
    process: psutil.Process

    @functools.cached_property
    def client(self) -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0)

    @property
    def processes(self) -> list[psutil.Process]:
        """The server's own process and all below it."""
        return [self.process, *self.process.children(recursive=True)]

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=ANSWER_S)

    def post(self, path: str, **request: Any) -> httpx.Response:
        return httpx.post(self.url + path, timeout=ANSWER_S, **request)

    def close(self) -> None:
        """Close the client's connections."""
        self.client.close()

    def metric(self, name: str, **labels: str) -> float:
        """The value of one series on /metrics; fails where there is none."""
        wanted = {f'{key}="{value}"' for key, value in labels.items()}
        for line in self.get("/metrics").text.splitlines():
            series, _, value = line.rpartition(" ")
            head, _, rest = series.partition("{")
            if head == name and wanted <= set(rest.removesuffix("}").split(",")):
                return float(value)
        raise AssertionError(f"no series {name} {labels}")


@contextmanager
def serve(
    command: Sequence[str],
    flags: Sequence[str] = (),
    *,
    log_dir: Path,
    environment: dict[str, str] | None = None,
    program: str = "metacompress",
    small: bool = True,
    stderr_apart: bool = False,
) -> Iterator[RunningServer]:
    """Run `program command flags` until the block ends.

    Args:
        command: subcommand, model and what belongs to it.
        flags: flags of vLLM, besides those for tiny checkpoints.
        log_dir: where its output goes.
        environment: variables on top of this process's.
        program: console script beside this Python.
        small: whether to add the flags for tiny checkpoints.
        stderr_apart: whether the log is standard output alone.
    """
    port = free_port()
    log = log_dir / f"{port}.log"
    words = [
        str(Path(sys.executable).parent / program),
        *command,
        *(COMMON_FLAGS if small else []),
        *flags,
    ]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*words, "--host", "127.0.0.1", "--port", str(port)],
            stdout=output,
            stderr=None if stderr_apart else subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        )
    try:
        running = RunningServer(f"http://127.0.0.1:{port}", log, psutil.Process(process.pid))
        _wait_until_ready(running, process)
        with closing(running):
            yield running
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(running: RunningServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"exit {process.returncode}:\n{running.log.read_text()[-4000:]}")
        try:
            if httpx.get(f"{running.url}/health").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"not ready in {STARTUP_S} s:\n{running.log.read_text()[-4000:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
