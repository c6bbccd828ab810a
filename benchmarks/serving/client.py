"""The client's process: a load or a probe comes as JSON on stdin, the outcome goes to stdout.

It imports neither torch nor the server, so that it takes little of the machine under test.
"""

import asyncio
import json
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from benchmarks.serving.addresses import loopback
from benchmarks.serving.load import run_load
from benchmarks.serving.probe import PROBES
from benchmarks.serving.turns import Load, Outcome

_MARGIN_S = 60.0


class ClientError(RuntimeError):
    """The client's process ended without an outcome. The message ends with what it said."""


def hold(load: Load) -> Outcome:
    """Run a load in a process of its own.

    Raises:
        NotLoopbackError: before any process or connection.
        ClientError: it failed, or took longer than the load may.
    """
    return Outcome.read(_run("load", load))


def probe(name: str, load: Load) -> dict[str, Any]:
    """Run a probe in a process of its own: its dataclass as a dict. Raises as `hold`."""
    return _run(name, load)


def _run(what: str, load: Load) -> dict[str, Any]:
    loopback(load.url)
    words = [sys.executable, "-m", "benchmarks.serving.client", what]
    try:
        done = subprocess.run(
            words,
            input=as_json(load),
            capture_output=True,
            text=True,
            timeout=load.longest_s + _MARGIN_S,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise ClientError(f"the client failed: {error.stderr[-500:]}") from error
    except subprocess.TimeoutExpired as error:
        raise ClientError(f"the client took longer than {error.timeout:.0f} s") from error
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def as_json(found: Any) -> str:
    """A load, or what came of it, on its way between the processes."""
    return json.dumps(asdict(found))


def main() -> None:
    """Entry of the process."""
    what = sys.argv[1]
    load = Load.read(json.load(sys.stdin))
    if what == "load":
        print(as_json(asyncio.run(run_load(load))))
    else:
        print(as_json(asyncio.run(PROBES[what](load))))


if __name__ == "__main__":
    main()
