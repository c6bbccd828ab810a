import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def test_hadolint_finds_nothing(tool):
    result = tool("hadolint", "Dockerfile")
    assert result.returncode == 0, result.stdout


def test_hadolint_would_find_something(tool, tmp_path):
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian\nRUN cd /tmp\n")
    assert tool("hadolint", bad).returncode == 1


def test_every_copied_path_is_there_and_reaches_the_builder(root):
    lines = (root / "Dockerfile").read_text().splitlines()
    copies = [line.split()[1:-1] for line in lines if re.match(r"COPY (?!--from)", line)]
    sources = [source for copy in copies for source in copy]
    kept = {
        line[1:] for line in (root / ".dockerignore").read_text().split() if line.startswith("!")
    }
    assert "server" in sources
    for source in sources:
        assert (root / source).exists(), source
        reaches = kept & {source, *map(str, Path(source).parents)}
        assert reaches, f"{source} is ignored by .dockerignore"


@pytest.fixture
def entrypoint(deploy, tmp_path):
    """Runs the image's entry point with a `metacompress` that says how it was called."""
    program = tmp_path / "metacompress"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$PPID" "$@"\n')
    program.chmod(0o755)

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": f"{tmp_path}:/usr/bin:/bin", **environment}
        command = [deploy / "image/entrypoint.sh", *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    return run


def test_the_callers_arguments_come_first_and_the_containers_address_last(entrypoint):
    words = entrypoint("/models/a b", "--compressor", "none").stdout.splitlines()[1:]
    assert words == [
        *("serve", "/models/a b", "--compressor", "none"),
        *("--host", "0.0.0.0", "--port", "8000"),
    ]


def test_the_port_inside_comes_from_the_environment(entrypoint):
    assert entrypoint(PORT="9000").stdout.splitlines()[-2:] == ["--port", "9000"]


@pytest.mark.parametrize("word", ["--port", "--port=9000", "--host=::", "--uds=/tmp/s"])
def test_an_address_among_the_arguments_is_refused_and_not_overridden(entrypoint, word):
    result = entrypoint(word)
    assert result.returncode == 2
    assert word.split("=")[0] in result.stderr


def test_the_server_takes_the_place_of_the_shell(entrypoint):
    """Else it would never see the container's SIGTERM."""
    parent = int(entrypoint().stdout.splitlines()[0])
    assert parent == _own_pid()


def _own_pid() -> int:
    return int(Path("/proc/self").resolve().name)


@contextmanager
def answering(status: int) -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def healthy(deploy: Path, port: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, deploy / "image/healthy.py"]
    return subprocess.run(
        command, env={"PORT": str(port)}, capture_output=True, text=True, check=False
    )


def test_the_health_check_tells_a_ready_server_from_one_that_is_not(deploy):
    with answering(200) as port:
        assert healthy(deploy, port).returncode == 0
    with answering(503) as port:
        assert healthy(deploy, port).returncode == 1


def test_the_health_check_fails_where_nobody_listens(deploy):
    with answering(200) as port:
        pass
    result = healthy(deploy, port)
    assert result.returncode == 1
    assert "no answer" in result.stderr
