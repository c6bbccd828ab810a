"""One training run from dialogues to artifact: read, cache, calibrate, train, measure, write."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from metacompress_compressor.adapters import Adapter
from metacompress_compressor.artifact import CompressorConfig, save_artifact

from .checkpoint import save_checkpoint
from .console import RunConsole
from .curve import draw_curve
from .dialogues import DialogueSet, data_digest
from .events import EventWriter
from .loop import Trainer
from .measure import measure
from .prepare import load_frozen, make_trainer, read_data, resume, training_corpus
from .record import describe_run, run_identity
from .settings import TrainJob
from .team import Team


@dataclass(frozen=True)
class Result:
    """A finished run, or one that was asked to stop."""

    finished: bool
    steps: int
    config: CompressorConfig | None


def run_training(job: TrainJob, team: Team, console: RunConsole) -> Result:
    """Train a mapping and write its artifact to `job.out`.

    An interruption (Ctrl-C or SIGTERM) stops after the step in hand, writes a checkpoint and
    returns an unfinished result; so does an error within a step, which is raised again.

    Args:
        job: what to train, on what, to where.
        team: the processes of the run; the first one writes the files.
        console: for notes and progress.

    Raises:
        AdapterError, CheckpointError: the model cannot be used.
        DataError: the data cannot be used.
        CheckpointMismatch: nothing to resume, or another run's checkpoint.
        TeamError: another process of the run has failed.
    """
    job.out.mkdir(parents=True, exist_ok=True)
    if job.threads:
        torch.set_num_threads(job.threads)
    adapter = load_frozen(job, team)
    data = read_data(job.data, adapter, console)
    digest = data_digest(data.dialogues.dialogues)
    identity = run_identity(job, adapter, digest)
    corpus = training_corpus(job, data, adapter, team, console)
    trainer = make_trainer(job, adapter, corpus, team, console)
    if job.resume:
        resume(job, trainer, identity, console)
    if not _train(job, trainer, identity, team, console):
        return Result(finished=False, steps=trainer.step, config=None)
    config = (
        _finish(job, adapter, data.dialogues, digest, trainer, team, console)
        if team.is_main
        else None
    )
    return Result(finished=True, steps=trainer.step, config=config)


def _train(
    job: TrainJob, trainer: Trainer, identity: dict[str, Any], team: Team, console: RunConsole
) -> bool:
    """Run the loop; True if it came to its end. A checkpoint is left in every case."""

    def save() -> None:
        if not team.is_main:
            return
        save_checkpoint(job.out, trainer.checkpoint(identity))
        if trainer.history:
            draw_curve(trainer.history, job.out / "loss.png")

    steps = job.settings.steps
    events = (
        EventWriter(job.tensorboard, trainer.step) if job.tensorboard and team.is_main else None
    )
    with console.training(steps, trainer.step) as show, _stop_signals() as should_stop:

        def on_step(record: dict[str, float]) -> None:
            show(record)
            if events is not None:
                events.write(trainer.step, record)
            if trainer.step % job.save_every == 0:
                save()

        try:
            trainer.run(on_step, should_stop)
        finally:
            save()
            if events is not None:
                events.close()
    return trainer.step == steps


def _finish(
    job: TrainJob,
    adapter: Adapter,
    data: DialogueSet,
    digest: str,
    trainer: Trainer,
    team: Team,
    console: RunConsole,
) -> CompressorConfig:
    """Write the artifact, measure it if asked, and write it again with its figures."""
    mapping = trainer.mapping.eval()
    config = describe_run(job, adapter, mapping, data, digest, trainer, team)
    config = save_artifact(job.out, mapping, config)
    if job.eval_data:
        evaluation = measure(job, mapping, team, console)
        config = save_artifact(
            job.out, mapping, config.model_copy(update={"evaluation": evaluation})
        )
    return config


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
