"""Where a loaded server's time goes, and how much of it is ours: a profile by py-spy.

    python -m benchmarks.hot_spots               # small pictures, 30 seconds
    python -m benchmarks.hot_spots --large       # pictures of 3 megapixels

The server is that of the embedded model at a tenth; three dialogues at once. For the HTTP process
and the engine it prints the functions in whose frames most of the busy samples are, ours and
others'. Samples of threads that wait for work are not busy; waiting for an answer is.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.serving.client import hold
from benchmarks.serving.contestants import MAIN, Contestant, Model, embedded
from benchmarks.serving.dialogues import large
from benchmarks.serving.servers import running
from benchmarks.serving.turns import Load

_IDLE = (
    *("_worker (concurrent", "_PollLikeSelector.select", "Condition.wait", "Event.wait"),
    *("GarbageCollectorThread", "Runner.run", "Poller.poll"),
)
_OURS = "metacompress_"
_PY_SPY = str(Path(sys.executable).with_name("py-spy"))
_ENGINE = "EngineCore"
_SAMPLES_PER_S = "200"
_MARGIN_S = 30.0


def shares(folded: Iterable[str]) -> dict[str, float]:
    """Share of the busy samples that have a function anywhere in their stack.

    Args:
        folded: lines of py-spy's raw format, `frame;frame;... count`.
    """
    seen: Counter[str] = Counter()
    busy = 0
    for line in folded:
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if frames[-1].startswith(_IDLE):
            continue
        busy += int(count)
        for function in {frame.rpartition(":")[0] for frame in frames}:
            seen[function] += int(count)
    return {function: count / busy for function, count in seen.most_common()}


def processes(url: str) -> dict[str, int]:
    """Ids of the HTTP process that listens at `url`, and of its engine."""
    port = url.rpartition(":")[2]
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [])[-2:] == ["--port", port]:
            engines = [one for one in process.children() if _ENGINE in " ".join(one.cmdline())]
            return {"HTTP": process.pid, "engine": engines[0].pid}
    raise ProcessLookupError(f"no server at {url}")


def record(model: Model, contestant: Contestant, folder: Path, seconds: int) -> dict[str, Path]:
    """Profile both processes under load: files of py-spy's raw format."""
    answers = replace(model.answers, image_tokens=contestant.image_tokens)
    with running([contestant]) as urls:
        url = urls[contestant.name]
        hold(Load(url, "bench", model.make(folder, "warm", 4, 3), answers))
        dialogues = model.make(folder, "load", 8 * seconds, 4)
        files = {name: folder / f"{name}.txt" for name in ("HTTP", "engine")}
        spies = [
            subprocess.Popen(
                [
                    *(_PY_SPY, "record", "--pid", str(pid), "--duration", str(seconds)),
                    *("--rate", _SAMPLES_PER_S, "--format", "raw", "--output", str(files[name])),
                ],
                stdout=subprocess.DEVNULL,
            )
            for name, pid in processes(url).items()
        ]
        hold(Load(url, "bench", dialogues, answers, at_once=3, longest_s=float(seconds)))
        for spy in spies:
            spy.wait(_MARGIN_S)
    return files


def show(name: str, found: dict[str, float], rows: int = 25) -> None:
    """Two tables: ours, and all others."""
    for whose, ours in (("ours", True), ("others'", False)):
        table = Table("of busy samples", "function", title=f"{name}, {whose}")
        chosen = [pair for pair in found.items() if (_OURS in pair[0]) == ours]
        for function, share in chosen[:rows]:
            table.add_row(f"{share:.1%}", function)
        Console(width=120).print(table)


def main() -> int:
    """Profile and print. Returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--large", action="store_true", help="pictures of 3 megapixels")
    parser.add_argument("--seconds", type=int, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = embedded(folder)
        if arguments.large:
            answers = replace(model.answers, scripted=True, max_tokens=4)
            model = replace(model, make=large, answers=answers)
        (contestant,) = (one for one in model.contestants if one.name == MAIN)
        for process, file in record(model, contestant, folder, arguments.seconds).items():
            show(process, shares(file.read_text(encoding="utf-8").splitlines()))
    return 0


if __name__ == "__main__":
    # An exception, unlike the default, lets the server be stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
