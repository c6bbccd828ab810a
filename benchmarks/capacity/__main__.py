"""The capacity model of `metacompress plan` against servers that run on this machine.

    python -m benchmarks.capacity                      # both models, some minutes on two cores
    python -m benchmarks.capacity --model embedded --rounds 3

For each model a server with its compressor and one without run side by side, with little memory
for keys and values. Predicted from the model's configuration alone, then measured: tokens' worth of
KV blocks that a picture holds, and sessions that are kept. The time of a first turn is predicted
from a rate and an overhead that were fitted to questions without a picture in the same run, plus
the tower's own time as the server counts it; nothing about a picture's prefill is fitted. Servers
take turns, and ratios are paired by round. Writes its models' lines of
benchmarks/results/capacity.jsonl; `python -m
benchmarks.capacity.page` puts it into docs/capacity.md.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.capacity.first_turns import FirstTurns, first_turns
from benchmarks.capacity.held import held
from benchmarks.capacity.subject import BLOCK_TOKENS, CapacityCheckError, Subject, make_subject
from benchmarks.records import RESULTS, Record, provenance, read, write
from benchmarks.serving.client import ClientError
from benchmarks.serving.contestants import FULL, MAIN, embedded, random_576
from benchmarks.serving.servers import running
from metacompress_server.demo.dialogue import DemoError

FILE = RESULTS / "capacity.jsonl"
MODELS = {"embedded": embedded, "random-576": random_576}


def measure_model(name: str, rounds: int, folder: Path) -> list[Record]:
    """Both servers of a model, as two records.

    Raises:
        CapacityCheckError: a turn failed.
        ClientError, DemoError: the client or a server broke.
    """
    model = MODELS[name](folder)
    pair = [one for one in model.contestants if one.name in (FULL, MAIN)]
    with running(pair) as urls:
        subjects = [make_subject(one, urls[one.name]) for one in pair]
        kept = {one: held(one, folder) for one in subjects}
        times = first_turns(subjects, rounds, folder)
    return [_record(name, one, kept[one], times, subjects[0]) for one in subjects]


def _record(
    name: str, subject: Subject, kept: Mapping[str, Any], times: FirstTurns, full: Subject
) -> Record:
    measured, other = times.ttft_s[subject], times.ttft_s[full]
    ratios = [one / two for one, two in zip(measured, other, strict=True)]
    text = kept["text_tokens"]
    share = subject.cost(text).first_turn_flops / full.cost(text).first_turn_flops
    cell = {
        "model": name,
        "compressor": subject.compressed,
        "visual_tokens": subject.contestant.image_tokens,
        "kv_cache_bytes": subject.kv_bytes,
        "block_size": BLOCK_TOKENS,
        "rounds": len(measured),
    }
    metrics = {
        **kept,
        "ttft_first_turn_s": {
            "predicted": times.predicted(subject),
            "measured": statistics.median(measured),
            "rounds": measured,
        },
        "ttft_ratio": {
            "predicted": times.predicted(subject) / times.predicted(full),
            "measured": statistics.median(ratios),
            "work_share": share,
            "rounds": ratios,
        },
        "fitted": {"overhead_s": times.overhead_s, "prefill_flops_per_s": times.flops_per_s},
        "tower_s": times.tower_s,
        "mapping_s": times.mapping_s,
    }
    return Record(
        "capacity", cell, metrics, provenance(torch.device("cpu"), subject.contestant.flags)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    try:
        for name in args.model or MODELS:
            with tempfile.TemporaryDirectory() as folder:
                records = measure_model(name, args.rounds, Path(folder))
            others = [one for one in read(args.output) if one.cell["model"] != name]
            write(args.output, [*others, *records])
            for record in records:
                print(json.dumps({**record.cell, **record.metrics}), flush=True)
    except (CapacityCheckError, ClientError, DemoError) as error:
        print(f"benchmarks.capacity: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=list(MODELS), action="append", help="default: both")
    parser.add_argument("--rounds", type=int, default=8, help="of first turns (default: 8)")
    parser.add_argument("--output", type=Path, default=FILE, help="default: %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
