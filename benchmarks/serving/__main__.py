"""Multi-turn dialogues about pictures, with and without compression, on real servers.

    python -m benchmarks.serving                      # the whole matrix, about 15 minutes, 2 cores
    python -m benchmarks.serving --quick --model embedded --out /tmp/quick.jsonl
    python -m benchmarks.serving --url http://127.0.0.1:8000 --dialogues 20 --at-once 4

The matrix starts every server itself, on loopback: the same model with all its visual tokens, with
smaller pictures, and compressed to several budgets. Records go to benchmarks/results/serving.jsonl;
`python -m benchmarks.report` makes tables and plots of them. With `--url` one running server of the
embedded model is measured, and the last line is its record. Exit status 1 where a turn failed.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from benchmarks.records import RESULTS, Record, provenance, write
from benchmarks.serving import contestants, matrix
from benchmarks.serving.client import hold
from benchmarks.serving.contestants import Model
from benchmarks.serving.dialogues import scenes
from benchmarks.serving.matrix import QUICK, Effort, Result, Stage
from benchmarks.serving.summary import describe
from benchmarks.serving.turns import Answers, Load

MODELS: dict[str, Callable[[Path], Model]] = {
    "embedded": contestants.embedded,
    "random-576": contestants.random_576,
    "random-576-larger": contestants.random_larger,
    "random-576-even": contestants.random_even,
}


def say(text: str) -> None:
    """Progress, for people."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def measure(names: Sequence[str], folder: Path, effort: Effort) -> Iterator[Record]:
    """All cells of some models."""
    for name in names:
        say(name)
        yield from map(
            as_record, matrix.everything(Stage(MODELS[name](folder), folder, say), effort)
        )


def as_record(result: Result) -> Record:
    """With the flags of the server that was measured."""
    origin = provenance(torch.device("cpu"), result.contestant.flags)
    return Record("serving", result.cell, result.metrics, origin)


def measure_one(arguments: argparse.Namespace) -> Record:
    """A running server of the embedded model, with dialogues whose answers are known."""
    with tempfile.TemporaryDirectory() as folder:
        name = f"own-{time.time_ns()}"  # dialogues that the server has not seen yet
        dialogues = scenes(Path(folder), name, arguments.dialogues, arguments.turns)
        load = Load(
            url=arguments.url,
            model=arguments.served_model_name,
            dialogues=dialogues,
            answers=Answers(max_tokens=40, scripted=False, detail=arguments.detail),
            loop="open" if arguments.rate else "closed",
            at_once=arguments.at_once,
            rate=arguments.rate or 1.0,
            think_s=arguments.think,
            longest_s=arguments.longest,
        )
        outcome = hold(load)
    cell = {"part": "own server", "loop": load.loop, "at_once": load.at_once}
    return Record("serving", cell, describe([outcome]), provenance(torch.device("cpu")))


def _failed(records: Sequence[Record]) -> bool:
    return any(record.metrics.get("failures") for record in records)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write. Returns the exit status."""
    arguments = _parser().parse_args(argv)
    if arguments.url:
        record = measure_one(arguments)
        print(record.line())
        return int(_failed([record]))
    records: list[Record] = []
    with tempfile.TemporaryDirectory() as folder:
        effort = QUICK if arguments.quick else Effort()
        for record in measure(arguments.model or list(MODELS), Path(folder), effort):
            records.append(record)
            write(arguments.out, records)  # as they come, in case of a kill
    print(json.dumps({"records": len(records), "failed": _failed(records)}))
    return int(_failed(records))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter blocks")
    parser.add_argument("--model", choices=MODELS, action="append", help="not all, but these")
    parser.add_argument("--out", type=Path, default=RESULTS / "serving.jsonl")
    one = parser.add_argument_group("one running server on loopback, instead of the matrix")
    one.add_argument("--url", help="without /v1")
    one.add_argument("--served-model-name", default="metacompress-embedded")
    one.add_argument("--dialogues", type=int, default=20)
    one.add_argument("--turns", type=int, default=3)
    one.add_argument("--at-once", type=int, default=1, help="dialogues (closed loop)")
    one.add_argument("--rate", type=float, help="dialogues per second (open loop, Poisson)")
    one.add_argument("--think", type=float, default=0.0, help="seconds before a later turn")
    one.add_argument("--longest", type=float, default=300.0, help="seconds, then it stops")
    one.add_argument("--detail", choices=("low", "auto", "high", "full"), help="of the pictures")
    return parser


if __name__ == "__main__":
    # An exception, unlike the default, lets the servers be stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
