"""`metacompress eval`: options, and errors as one line."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_BUDGETS = (0.5, 0.3, 0.2, 0.1, 0.05)

_EXAMPLES = """\
examples:
  metacompress eval --model MODEL --compressor runs/compressor --data runs/held-out --out runs/eval
  metacompress eval --model MODEL --compressor runs/a runs/b --data runs/held-out --out runs/ab \\
      --retention 0.1 --methods sample avgpool_2d divprune --limit 64

An answer counts if greedy decoding would give exactly it, end token included, with the dialogue's
earlier answers as in the data: one forward pass decides all turns. Every method is tried with
its tokens at their places in the picture (kept) and renumbered (contiguous). Intervals are of
95 %, by drawing whole dialogues again, paired between methods.

OUT gets results.jsonl (one line for each method, budget and rule of positions), report.md,
accuracy.png, turns.png, and outcomes.jsonl: the scores themselves, from which the same command
goes on after an interruption, and which spare a further compressor the baselines' time.
The last line on standard output is one JSON document.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `metacompress eval` to `parser`."""
    from .contestants import BASELINES

    parser.epilog = _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    parser.add_argument(
        "--compressor",
        type=Path,
        nargs="+",
        default=(),
        metavar="DIR",
        help="artifact folders; a row is named after its folder, and the first one's rule of "
        "windows decides how many tokens the baselines keep (default: baselines alone)",
    )
    parser.add_argument(
        "--selector",
        type=Path,
        nargs="+",
        default=(),
        metavar="DIR",
        help="learned selectors as further baselines, of "
        "python -m metacompress_compressor.training.selector (default: none)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="held-out dialogues.jsonl files, or folders holding one",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument(
        "--retention",
        type=float,
        nargs="+",
        default=_BUDGETS,
        metavar="RATIO",
        help=f"kept shares of the visual tokens (default: {' '.join(map(str, _BUDGETS))})",
    )
    parser.add_argument(
        "--methods",
        nargs="*",
        choices=list(BASELINES),
        default=list(BASELINES),
        metavar="NAME",
        help=f"baselines (default: all of {', '.join(BASELINES)})",
    )
    parser.add_argument(
        "--positions",
        nargs="+",
        choices=["kept", "contiguous"],
        default=["kept", "contiguous"],
        help="where the tokens stand in the language model (default: both)",
    )
    parser.add_argument(
        "--scoring",
        choices=["teacher-forced", "generated"],
        default="teacher-forced",
        help="generated: the model answers by itself, its own answers standing before the next "
        "question; turns with several people's answers count by VQA's consensus, others by exact "
        "text; without FastV, and some ten times slower (default: teacher-forced)",
    )
    parser.add_argument(
        "--answers",
        choices=["data", "full-model"],
        default="data",
        help="full-model: right is what the model itself says given all tokens, so that figures "
        "are its fidelity, on questions of any kind (default: data)",
    )
    parser.add_argument(
        "--prumerge-layer",
        choices=["last", "penultimate"],
        default="last",
        help="whose attention PruMerge ranks by; a model that never uses its tower's last layer "
        "may not have trained it: then the last is noise (default: last)",
    )
    _add_running(parser)


def _add_running(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=0, help="dialogues to use (default: all)")
    parser.add_argument("--batch-size", type=int, default=16, help="dialogues in a pass")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", default="cpu", help="torch device (default: cpu)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's)")
    parser.add_argument(
        "--cache-dir", type=Path, help="folder of cached visual tokens (default: OUT/cache)"
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate as `args` say. The last line on standard output is the result as JSON.

    Returns:
        0, or 2 for input that cannot be used.
    """
    from metacompress_compressor.adapters import AdapterError
    from metacompress_compressor.artifact import ArtifactError
    from metacompress_compressor.fingerprint import CheckpointError
    from metacompress_compressor.reductions.selector import SelectorError
    from metacompress_compressor.training.console import RunConsole
    from metacompress_compressor.training.dialogues import DataError
    from metacompress_compressor.training.settings import SettingsError

    from .job import run_evaluation
    from .outcomes import OutcomesMismatch
    from .report import write_report

    try:
        records = run_evaluation(_job(args), RunConsole())
    except (
        AdapterError,
        ArtifactError,
        CheckpointError,
        DataError,
        OutcomesMismatch,
        SelectorError,
        SettingsError,
    ) as error:
        print(f"metacompress eval: {error}", file=sys.stderr)
        return 2
    print(write_report(records, args.out))
    print(json.dumps(_summary(records, args.out)))
    return 0


def _job(args: argparse.Namespace) -> Any:
    from .settings import EvalJob

    return EvalJob(
        model_dir=args.model,
        compressors=tuple(args.compressor),
        selectors=tuple(args.selector),
        data=tuple(args.data),
        out=args.out,
        retention_ratios=tuple(dict.fromkeys(args.retention)),
        methods=tuple(dict.fromkeys(args.methods)),
        positions=tuple(dict.fromkeys(args.positions)),
        scoring=args.scoring,
        answers=args.answers,
        prumerge_layer=args.prumerge_layer,
        limit=args.limit,
        batch_size=args.batch_size,
        dtype=args.dtype,
        device=args.device,
        threads=args.threads,
        cache_dir=args.cache_dir,
    )


def _summary(records: Sequence[Mapping[str, Any]], out: Path) -> dict[str, Any]:
    """The result in one line: what the full model has, and each mapping at each budget."""
    full = next(record for record in records if record["kind"] == "full")
    return {
        "out": str(out),
        "dialogues": full["dialogues"],
        "records": len(records),
        "full": full["accuracy"]["value"],
        "mappings": [
            {
                "name": record["label"],
                "retention_ratio": record["retention_ratio"],
                "visual_tokens": record["visual_tokens"],
                "positions": record["positions"],
                "accuracy": record["accuracy"]["value"],
                "retention": record["retention"]["value"],
                "lead": record["lead"] and record["lead"]["overall"],
            }
            for record in records
            if record["kind"] == "mapping"
        ],
    }
