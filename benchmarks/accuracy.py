"""Accuracy of answers, as evaluated offline and through the whole server, in the records' shape.

    python -m benchmarks.accuracy --data runs/held-out --dialogues 100    # the embedded model
    python -m benchmarks.accuracy --evaluation benchmarks/results/embedded.jsonl

The first starts the server twice, with the compressor (and `--serve-uncompressed`) and with
`--compressor none`, asks the same held-out questions of both, at every budget that clients can
name, and scores the very same answers offline with `metacompress eval`. Each record says how many
verdicts differ. The second writes the results of an evaluation, as they are, as records. Held-out
dialogues: `python -m metacompress_compressor.scenes --seed 1001 --count 500 --turns 5 --out DIR`.
Both replace their own lines of benchmarks/results/accuracy.jsonl and leave the other's.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.held_out import AnswerError, Answers, ask_all
from benchmarks.records import RESULTS, Record, provenance, read, write
from metacompress_compressor.artifact import load_artifact
from metacompress_compressor.embedded import compressor_dir, model_dir
from metacompress_compressor.evaluation.bootstrap import Bootstrap
from metacompress_compressor.evaluation.job import run_evaluation
from metacompress_compressor.evaluation.outcomes import OUTCOMES_FILE
from metacompress_compressor.evaluation.settings import EvalJob
from metacompress_compressor.training.console import RunConsole
from metacompress_compressor.training.dialogues import DataError, Dialogue, read_dialogues
from metacompress_server.demo.dialogue import DemoError
from metacompress_server.demo.server import running_server
from metacompress_server.plan import CompressionPlan

FILE = RESULTS / "accuracy.jsonl"
DETAILS = ("full", "high", "auto", "low")

Verdicts = tuple[tuple[bool, ...], ...]
"""For each dialogue, which of its turns are right."""


@dataclass(frozen=True)
class Served:
    """One way to serve: the flags of the server, the detail of its pictures, the kept share."""

    flags: tuple[str, ...]
    detail: str | None
    retention_ratio: float


def ways_to_serve(dtype: str) -> list[Served]:
    """All budgets that a client can name, and the server without a compressor."""
    plan = CompressionPlan.of(load_artifact(compressor_dir()))
    flags = ("--dtype", dtype, "--serve-uncompressed")
    ways = [Served(flags, detail, plan.budget(detail).retention_ratio) for detail in DETAILS]
    return [*ways, Served(("--dtype", dtype, "--compressor", "none"), None, 1.0)]


def ask_servers(
    ways: Sequence[Served], dialogues: Sequence[Dialogue], at_once: int
) -> dict[Served, Answers]:
    """One server after the other, every budget of one on the same server."""
    answers = {}
    for flags in dict.fromkeys(way.flags for way in ways):
        with running_server(flags) as url:
            for way in ways:
                if way.flags == flags:
                    answers[way] = ask_all(url, dialogues, detail=way.detail, at_once=at_once)
    return answers


def evaluate_offline(
    data: Path, limit: int, ratios: Sequence[float], out: Path
) -> dict[float, Verdicts]:
    """The same dialogues by `metacompress eval`, in float32, by retention ratio (1 for all)."""
    compressed = tuple(ratio for ratio in dict.fromkeys(ratios) if ratio < 1)
    job = EvalJob(
        model_dir=model_dir(),
        compressors=(compressor_dir(),),
        data=(data,),
        out=out,
        retention_ratios=compressed,
        methods=(),
        positions=("kept",),
        limit=limit,
    )
    run_evaluation(job, RunConsole())
    scores = read_outcomes(out / OUTCOMES_FILE)
    name = compressor_dir().resolve().name
    keys = {1.0: "full 1 ", **{ratio: f"{name} {ratio:g} " for ratio in compressed}}
    return {
        ratio: next(found for trial, found in scores.items() if trial.startswith(key))
        for ratio, key in keys.items()
    }


def read_outcomes(file: Path) -> dict[str, Verdicts]:
    """Verdicts by trial, dialogues in their order."""
    scores: dict[str, dict[int, tuple[bool, ...]]] = {}
    for line in file.read_text(encoding="utf-8").splitlines()[1:]:
        part = json.loads(line)
        for trial, turns in part["scores"].items():
            verdicts = [tuple(score == 1 for score in dialogue) for dialogue in turns]
            scores.setdefault(trial, {}).update(zip(part["dialogues"], verdicts, strict=True))
    return {
        trial: tuple(found[number] for number in sorted(found)) for trial, found in scores.items()
    }


def served_metrics(right: Verdicts, offline: Verdicts) -> dict[str, Any]:
    """Accuracy through the server, offline, and on how many answers they disagree."""
    through, alone = table(right), table(offline)
    bootstrap = Bootstrap(len(right))
    per_turn = [bootstrap.mean(through[:, [turn]]).record() for turn in range(through.shape[1])]
    return {
        "accuracy": bootstrap.mean(through).record(),
        "accuracy_offline": bootstrap.mean(alone).record(),
        "difference": bootstrap.difference(through, alone).record(),
        "per_turn": per_turn,
        "answers": int((~np.isnan(through)).sum()),
        "answers_differing": int(np.nansum(through != alone) - np.isnan(through).sum()),
    }


def table(right: Verdicts) -> Any:
    """`[D, T]`, NaN where a dialogue has fewer turns."""
    turns = max(map(len, right))
    return np.array([[*map(float, row), *[np.nan] * (turns - len(row))] for row in right])


def server_records(
    ways: Mapping[Served, Answers], offline: Mapping[float, Verdicts], dtype: str
) -> Iterator[Record]:
    """One record for each way to serve."""
    for way, answers in ways.items():
        cell = {
            "source": "server",
            "model": "metacompress-embedded",
            "method": "full" if way.retention_ratio == 1 else "served",
            "retention_ratio": way.retention_ratio,
            "tokens": answers.image_tokens,
            "detail": way.detail,
            "compressor": "none" not in way.flags,
            "dtype": dtype,
            "dialogues": len(answers.right),
        }
        metrics = served_metrics(answers.right, offline[way.retention_ratio])
        yield Record("accuracy", cell, metrics, provenance(torch.device("cpu"), way.flags))


def evaluation_records(file: Path) -> Iterator[Record]:
    """The lines of an evaluation, as records."""
    for line in file.read_text(encoding="utf-8").splitlines():
        found = json.loads(line)
        cell = {
            "source": file.stem,
            "model": found["model"],
            "method": found["method"],
            "label": found["label"],
            "kind": found["kind"],
            "retention_ratio": found["retention_ratio"],
            "tokens": found["visual_tokens"],
            "positions": found["positions"],
            "dtype": found["dtype"],
            "dialogues": found["dialogues"],
        }
        metrics = {name: found[name] for name in ("accuracy", "retention", "per_turn")}
        metrics["prefill_flops_share"] = found["prefill"]["flops_share"]
        origin = {
            "hardware": found["hardware"],
            "versions": found["versions"],
            "commit": found["commit"],
            "flags": [],
            "command": "metacompress eval",
            "when": None,
        }
        yield Record("accuracy", cell, metrics, origin)


def replace(file: Path, records: Sequence[Record]) -> None:
    """Write records in the place of those with the same source (and number type)."""
    sources = {(record.cell["source"], record.cell["dtype"]) for record in records}
    others = [r for r in read(file) if (r.cell["source"], r.cell["dtype"]) not in sources]
    write(file, [*others, *records])


def main(arguments: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    try:
        records = list(evaluation_records(args.evaluation) if args.evaluation else _ask(args))
    except (AnswerError, DataError, DemoError) as error:
        print(f"benchmarks.accuracy: {error}", file=sys.stderr)
        return 1
    replace(args.output, records)
    for record in records:
        print(json.dumps({**record.cell, **record.metrics}))
    return 0


def _ask(args: argparse.Namespace) -> Iterator[Record]:
    dialogues = read_dialogues([args.data]).dialogues[: args.dialogues]
    ways = ways_to_serve(args.dtype)
    answers = ask_servers(ways, dialogues, args.at_once)
    with tempfile.TemporaryDirectory() as out:
        ratios = [way.retention_ratio for way in ways]
        offline = evaluate_offline(args.data, len(dialogues), ratios, Path(out))
    yield from server_records(answers, offline, args.dtype)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="held-out dialogues, to ask servers")
    source.add_argument("--evaluation", type=Path, help="results.jsonl of an evaluation")
    parser.add_argument("--dialogues", type=int, default=100, help="how many (default: 100)")
    parser.add_argument("--at-once", type=int, default=1, help="in flight (default: 1)")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--output", type=Path, default=FILE, help="default: %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
