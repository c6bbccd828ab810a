"""`metacompress train`: options, and errors as one line."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from metacompress_compressor.position_code import PositionCode
from metacompress_compressor.windows import WindowKind

from .settings import SettingsError, TrainJob, TrainSettings

_DEFAULT = TrainSettings()
_MEMORY_ADVICE = (
    "metacompress train: {reason}; go on with --resume and a smaller --micro-batch, or with "
    "--gradient-checkpointing"
)
_CODE_OF_WINDOWS: dict[WindowKind, PositionCode] = {"1d": "sinusoidal_1d", "2d": "sinusoidal_2d"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `metacompress train` to `parser`."""
    _add_paths(parser)
    _add_mapping(parser)
    _add_training(parser)
    _add_running(parser)


def run(args: argparse.Namespace) -> int:
    """Train, or try what it costs, as `args` say. The last line on standard output is JSON.

    Returns:
        0 for a finished run, 1 for one that was stopped and can be resumed, 2 for bad input.
    """
    import torch

    from metacompress_compressor.adapters import AdapterError
    from metacompress_compressor.fingerprint import CheckpointError

    from .checkpoint import CheckpointMismatch
    from .console import RunConsole
    from .dialogues import DataError
    from .dry_run import dry_run
    from .run import run_training, summary_line
    from .team import Team, TeamError

    try:
        job = job_from(args)
        with Team(job.device) as team:
            console = RunConsole(quiet=not team.is_main)
            if args.dry_run:
                estimate = dry_run(job, team, console)
                if team.is_main:
                    print(json.dumps(estimate))
                return 0
            result = run_training(job, team, console)
    except (
        SettingsError,
        AdapterError,
        CheckpointError,
        CheckpointMismatch,
        DataError,
        TeamError,
    ) as error:
        print(f"metacompress train: {error}", file=sys.stderr)
        return 2
    except torch.OutOfMemoryError as error:
        print(_MEMORY_ADVICE.format(reason=str(error).splitlines()[0]), file=sys.stderr)
        return 1
    if not team.is_main:
        return 0 if result.finished else 1
    print(summary_line(job, result))
    if not result.finished:
        print(f"stopped after step {result.steps}: go on with --resume", file=sys.stderr)
    return 0 if result.finished else 1


def job_from(args: argparse.Namespace) -> TrainJob:
    """The job that the parsed options describe. Raises SettingsError."""
    if args.dry_run and args.resume:
        raise SettingsError("a dry run goes on from nothing: leave out --resume or --dry-run")
    ratios, span = budgets_from(args.retention)
    settings = TrainSettings(
        retention_ratios=ratios,
        retention_range=span,
        budgets_per=args.budgets_per,
        method=args.method,
        windows=args.windows,
        position_code=args.position_code or _CODE_OF_WINDOWS[args.windows],
        token_norm=args.token_norm,
        conditioning=args.conditioning,
        positions=args.positions,
        key_dim=args.key_dim,
        steps=args.steps,
        batch_size=args.batch_size,
        learning_rate=args.lr,
        beta_learning_rate=args.beta_lr,
        warmup_share=args.warmup,
        entropy_weight=args.entropy_weight,
        entropy_ramp=tuple(args.entropy_ramp),
        column_weight=args.column_weight,
        clip=args.clip,
        clip_by=args.clip_by,
        answers=args.answers,
        initial_mass=args.initial_mass,
        dtype=args.dtype,
        cache_teacher=args.cache_teacher,
        seed=args.seed,
    )
    return TrainJob(
        model_dir=args.model,
        data=tuple(args.data),
        eval_data=tuple(args.eval_data),
        out=args.out,
        cache_dir=args.cache_dir,
        device=args.device,
        threads=args.threads,
        save_every=args.save_every,
        resume=args.resume,
        micro_batch=args.micro_batch,
        gradient_checkpointing=args.gradient_checkpointing,
        tensorboard=args.tensorboard,
        settings=settings,
    )


def budgets_from(words: Sequence[str]) -> tuple[tuple[float, ...], tuple[float, float] | None]:
    """Ratios and range that `--retention` names; of a lone range, its ends are the ratios.

    Raises:
        SettingsError: a word that is neither, or a second range.
    """
    ratios: list[float] = []
    span: tuple[float, float] | None = None
    for word in words:
        low, colon, high = word.partition(":")
        try:
            if not colon:
                ratios.append(float(low))
                continue
            if span is not None:
                raise SettingsError(f"--retention takes one range: {word} is a second one")
            span = (float(low), float(high))
        except ValueError as error:
            if isinstance(error, SettingsError):
                raise
            raise SettingsError(f"--retention {word!r} is no ratio and no range") from error
    return tuple(ratios) or span or (), span


def _add_paths(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model and data")
    group.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    group.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="dialogues.jsonl files, or folders holding one",
    )
    group.add_argument(
        "--eval-data",
        type=Path,
        nargs="+",
        default=(),
        metavar="FILE",
        help="held-out dialogues to measure accuracy on at the end",
    )
    group.add_argument("--out", type=Path, required=True, help="folder of the artifact")
    group.add_argument(
        "--cache-dir", type=Path, help="folder of cached visual tokens (default: OUT/cache)"
    )


def _add_mapping(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("mapping")
    group.add_argument(
        "--retention",
        nargs="+",
        default=["0.1"],
        metavar="RATIO",
        help="kept share of the visual tokens; of several, each batch draws one and the first is "
        "the artifact's default; one may be a range LOW:HIGH (default: 0.1)",
    )
    _option(
        group,
        "--budgets-per",
        "budgets_per",
        "what draws a budget of its own",
        ("batch", "dialogue"),
    )
    _option(group, "--method", "method", "form of P", ("row_softmax", "competing"))
    _option(group, "--windows", "windows", "pooling windows", ("1d", "2d"))
    group.add_argument(
        "--position-code",
        choices=("none", "sinusoidal_1d", "sinusoidal_2d"),
        help="code added to the tokens that are compared (default: that of the windows)",
    )
    _option(group, "--token-norm", "token_norm", "of those tokens", ("none", "layer_norm"))
    _option(
        group,
        "--conditioning",
        "conditioning",
        "what queries depend on besides the picture",
        ("none", "budget"),
    )
    _option(group, "--positions", "positions", "places in the LLM", ("kept", "contiguous"))
    _option(group, "--key-dim", "key_dim", "channels of queries and keys")


def _add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    _option(group, "--steps", "steps", "batches")
    _option(group, "--batch-size", "batch_size", "dialogues in a batch")
    _option(group, "--lr", "learning_rate", "rate of the projections")
    _option(group, "--beta-lr", "beta_learning_rate", "rate of beta")
    _option(group, "--warmup", "warmup_share", "share of the steps in which the rates rise")
    _option(group, "--entropy-weight", "entropy_weight", "weight of the rows' entropy")
    group.add_argument(
        "--entropy-ramp",
        type=float,
        nargs=2,
        default=_DEFAULT.entropy_ramp,
        metavar=("START", "FULL"),
        help="shares of the steps between which the entropy weight rises from 0; 0 0 for all of it "
        "from the first step (default: 0.5 0.8)",
    )
    _option(group, "--column-weight", "column_weight", "weight of the largest column sum")
    _option(group, "--clip", "clip", "largest gradient, 0 for none")
    _option(group, "--clip-by", "clip_by", "measure of the gradient", ("norm", "value"))
    _option(group, "--answers", "answers", "answers to learn from", ("data", "teacher"))
    _option(group, "--initial-mass", "initial_mass", "share of a row that starts in its window")
    _option(group, "--dtype", "dtype", "of the frozen LLM", ("float32", "bfloat16"))
    group.add_argument(
        "--cache-teacher",
        action="store_true",
        help="keep the teacher's logits on disk (tokens x vocabulary x 2 bytes): faster epochs",
    )
    _option(group, "--seed", "seed", "of weights, order and draws")


def _add_running(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("running")
    group.add_argument(
        "--device",
        default="cpu",
        help="torch device (default: cpu); with `accelerate launch`, cuda is one GPU per process",
    )
    group.add_argument(
        "--micro-batch",
        type=int,
        default=0,
        metavar="N",
        help="dialogues in the model at once; fewer need less memory (default: the whole batch)",
    )
    group.add_argument(
        "--gradient-checkpointing",
        action="store_true",
        help="compute the model's layers twice instead of holding their activations",
    )
    group.add_argument(
        "--tensorboard",
        type=Path,
        metavar="DIR",
        help="write the loss curves there for TensorBoard",
    )
    group.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's own)")
    group.add_argument(
        "--save-every", type=int, default=100, help="steps between checkpoints (default: 100)"
    )
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="measure a few steps and print what time, memory and disk the run would take",
    )
    group.add_argument("--resume", action="store_true", help="go on from the checkpoint in OUT")


def _option(
    group: "argparse._ArgumentGroup",
    flag: str,
    setting: str,
    text: str,
    choices: tuple[str, ...] | None = None,
) -> None:
    """An option for a field of TrainSettings, with that field's type and default."""
    default = getattr(_DEFAULT, setting)
    group.add_argument(
        flag,
        type=type(default),
        default=default,
        choices=choices,
        help=f"{text} (default: {default})",
    )
