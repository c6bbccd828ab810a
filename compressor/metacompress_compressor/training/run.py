"""One training run from dialogues to artifact: read, cache, calibrate, train, measure, write."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from metacompress_compressor.adapters import Adapter, load_adapter
from metacompress_compressor.artifact import CompressorConfig, save_artifact
from metacompress_compressor.evaluation import evaluate
from metacompress_compressor.mapping import TokenMapping, calibrate_beta
from metacompress_compressor.reductions import AveragePooling, Full, Mapped, Reduction, Sample

from .checkpoint import load_checkpoint, save_checkpoint
from .console import RunConsole
from .corpus import Corpus, encode_dialogues, join_features
from .curve import draw_curve
from .dialogues import data_digest, read_dialogues
from .features import cached_features
from .loop import Trainer
from .settings import TrainJob, TrainSettings
from .teacher import cached_teacher

_CALIBRATION_PICTURES = 32


@dataclass(frozen=True)
class Result:
    """A finished run, or one that was asked to stop."""

    finished: bool
    steps: int
    config: CompressorConfig | None


def run_training(job: TrainJob, console: RunConsole) -> Result:
    """Train a mapping and write its artifact to `job.out`.

    An interruption (Ctrl-C or SIGTERM) stops after the step in hand, writes a checkpoint and
    returns an unfinished result; so does an error within a step, which is raised again.

    Raises:
        AdapterError, CheckpointError: the model cannot be used.
        DataError: the data cannot be used.
        CheckpointMismatch: nothing to resume, or another run's checkpoint.
    """
    job.out.mkdir(parents=True, exist_ok=True)
    if job.threads:
        torch.set_num_threads(job.threads)
    adapter = load_adapter(job.model_dir, device=job.device)
    corpus = _load_corpus(job, job.data, adapter, console)
    digest = data_digest(corpus.dialogues)
    identity = _identity(job, adapter, digest)
    trainer = _prepare(job, adapter, corpus, identity, console)
    if not _train(job, trainer, identity, console):
        return Result(finished=False, steps=trainer.step, config=None)

    mapping = trainer.mapping.eval()
    config = _describe(job, adapter, mapping, digest, trainer)
    config = save_artifact(job.out, mapping, config)
    if job.eval_data:
        config = config.model_copy(update={"evaluation": _measure(job, mapping, console)})
        config = save_artifact(job.out, mapping, config)
    return Result(finished=True, steps=trainer.step, config=config)


def _load_corpus(
    job: TrainJob, files: tuple[Any, ...], adapter: Adapter, console: RunConsole
) -> Corpus:
    data, encoded = encode_dialogues(adapter, read_dialogues(files))
    console.problems(data.problems)
    turns = sum(len(dialogue.turns) for dialogue in data.dialogues)
    console.note(
        f"{len(data.dialogues)} dialogues, {turns} turns, {len(data.images)} pictures "
        f"of {adapter.grid.num_tokens} visual tokens"
    )
    with console.progress("visual tokens") as on_progress:
        features = cached_features(adapter, data.images, job.features_dir, on_progress)
    return join_features(data, encoded, features)


def _prepare(
    job: TrainJob,
    adapter: Adapter,
    corpus: Corpus,
    identity: dict[str, Any],
    console: RunConsole,
) -> Trainer:
    settings = job.settings
    mapping = _initial_mapping(adapter, corpus, settings, console)
    adapter.model.to(getattr(torch, settings.dtype))
    teacher = None
    if settings.cache_teacher:
        with console.progress("teacher") as on_progress:
            teacher = cached_teacher(adapter, corpus, job.features_dir, on_progress)
    trainer = Trainer(adapter, corpus, teacher, mapping, settings)
    if job.resume:
        trainer.restore(load_checkpoint(job.out, identity))
        console.note(f"going on after step {trainer.step}")
    return trainer


def _initial_mapping(
    adapter: Adapter, corpus: Corpus, settings: TrainSettings, console: RunConsole
) -> TokenMapping:
    torch.manual_seed(settings.seed)
    mapping = TokenMapping(
        adapter.hidden_size,
        settings.key_dim,
        method=settings.method,
        windows=settings.windows,
        code=settings.position_code,
        token_norm=settings.token_norm,
    ).to(adapter.device)
    sample = corpus.features[:_CALIBRATION_PICTURES].to(adapter.device, torch.float32)
    ratio, target = settings.retention_ratios[0], settings.initial_mass
    mass = calibrate_beta(mapping, sample, adapter.grid, ratio, target)
    console.note(f"beta starts at {mapping.beta[0].item():.3g}: {mass:.2f} of a row in its window")
    return mapping


def _train(job: TrainJob, trainer: Trainer, identity: dict[str, Any], console: RunConsole) -> bool:
    """Run the loop; True if it came to its end. A checkpoint is left in every case."""

    def save() -> None:
        save_checkpoint(job.out, trainer.checkpoint(identity))
        if trainer.history:
            draw_curve(trainer.history, job.out / "loss.png")

    steps = job.settings.steps
    with console.training(steps, trainer.step) as show, _stop_signals() as should_stop:

        def on_step(record: dict[str, float]) -> None:
            show(record)
            if trainer.step % job.save_every == 0:
                save()

        try:
            trainer.run(on_step, should_stop)
        finally:
            save()
    return trainer.step == steps


@contextmanager
def _stop_signals() -> Iterator[Any]:
    """Turns the first Ctrl-C or SIGTERM into a request to stop; a second one acts as usual."""
    asked: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, ask)
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _identity(job: TrainJob, adapter: Adapter, digest: str) -> dict[str, Any]:
    """What a checkpoint must share with the run that goes on from it."""
    fingerprint = adapter.base_model_info().fingerprint
    return {**job.settings.record(), "model": fingerprint, "data": digest}


def _describe(
    job: TrainJob, adapter: Adapter, mapping: TokenMapping, digest: str, trainer: Trainer
) -> CompressorConfig:
    settings = job.settings
    return CompressorConfig.describe(
        mapping,
        positions=settings.positions,
        retention_ratio=settings.retention_ratios[0],
        trained_retention_ratios=tuple(sorted(settings.retention_ratios)),
        base_model=adapter.base_model_info(),
        data_digest=digest,
        training={
            **settings.record(),
            "last_step": trainer.history[-1],
            "versions": {
                "python": sys.version.split()[0],
                **{name: version(name) for name in ("metacompress", "torch", "transformers")},
            },
        },
    )


def _measure(job: TrainJob, mapping: TokenMapping, console: RunConsole) -> dict[str, Any]:
    """Accuracy at every trained budget, in float32 as on a CPU server."""
    adapter = load_adapter(job.model_dir, device=job.device)
    corpus = _load_corpus(job, job.eval_data, adapter, console)
    reductions: list[Reduction] = [
        Full(),
        Sample(mapping.windows),
        AveragePooling(),
        Mapped(mapping),
    ]
    tables = []
    for ratio in job.settings.retention_ratios:
        with console.progress(f"accuracy at {ratio}") as on_progress:
            tables.append(
                evaluate(
                    adapter,
                    corpus,
                    reductions,
                    ratio,
                    job.settings.positions,
                    on_progress=on_progress,
                )
            )
        for name, result in tables[-1]["methods"].items():
            console.note(f"{name}: {result['accuracy']:.3f} on {result['visual_tokens']} tokens")
    return {"data_digest": data_digest(corpus.dialogues), "budgets": tables}


def summary_line(job: TrainJob, result: Result) -> str:
    """The run's result as one JSON document."""
    summary: dict[str, Any] = {"finished": result.finished, "steps": result.steps}
    if result.config is not None:
        summary |= {
            "artifact": str(job.out),
            "weights_sha256": result.config.weights_sha256,
            "last_step": result.config.training["last_step"],
            "evaluation": result.config.evaluation,
        }
    return json.dumps(summary)
