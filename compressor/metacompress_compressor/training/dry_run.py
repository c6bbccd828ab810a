"""What a run would cost in time, memory and disk, measured on a few of its own steps."""

import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from metacompress_compressor.adapters import Adapter

from .answers import with_teacher_answers
from .console import RunConsole
from .corpus import Corpus
from .dialogues import data_digest
from .features import features_file, picture_layout
from .measure import accuracy_tables
from .prepare import ReadData, load_frozen, make_corpus, make_trainer, read_data
from .schedule import BatchSchedule
from .settings import TrainJob
from .teacher import answer_edges, cached_teacher
from .team import Team

_TIMED_STEPS = 3
_SAMPLE_DIALOGUES = 32
_GIB = 2**30


class _Measured:
    """Steps chosen from a run's schedule, renumbered for a corpus that holds their dialogues."""

    def __init__(
        self, schedule: BatchSchedule, steps: Sequence[int], place: dict[int, int]
    ) -> None:
        self._batches = [[place[index] for index in schedule.indices(step)] for step in steps]
        self._ratios = [schedule.retention_ratios(step) for step in steps]

    def indices(self, step: int) -> list[int]:
        return self._batches[step]

    def retention_ratios(self, step: int) -> list[float]:
        return self._ratios[step]


def dry_run(job: TrainJob, team: Team, console: RunConsole) -> dict[str, Any]:
    """Measure a few steps, and a few of everything else that a run does, and scale them up.

    Nothing is written but a temporary folder. Steps are timed on batches spread over the schedule,
    after one of the largest batch, which memory is measured on.

    Returns:
        Seconds of each stage and in all, peak memory, and the caches' sizes on disk.

    Raises:
        As `run_training`.
    """
    started = time.perf_counter()
    adapter = load_frozen(job, team)
    data = read_data(job.data, adapter, console)
    data_digest(data.dialogues.dialogues)
    cached = features_file(adapter, data.dialogues.images, job.features_dir).exists()
    seconds = {"reading": time.perf_counter() - started}
    with tempfile.TemporaryDirectory() as folder:
        sandbox = replace(job, cache_dir=Path(folder), eval_data=())
        steps, sample = _choose(job, data, adapter)
        corpus, visual_seconds = _timed(lambda: make_corpus(sandbox, sample, adapter, console))
        share = len(data.dialogues.images) / len(sample.dialogues.images)
        seconds["visual_tokens"] = 0.0 if cached else visual_seconds * share
        seconds |= _teacher_seconds(sandbox, adapter, corpus, sample, data, console)
        if job.eval_data:
            seconds["evaluation"] = _evaluation_seconds(job, sandbox, adapter, team, console)
        seconds["training"] = _training_seconds(
            sandbox, adapter, corpus, steps, data, sample, team, console
        )
    return {
        "dry_run": True,
        "dialogues": len(data.dialogues.dialogues),
        "pictures": len(data.dialogues.images),
        "steps": job.settings.steps,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "total_seconds": round(sum(seconds.values()), 1),
        "peak_memory_gib": _peak_memory(team),
        "cache_gib": _cache_sizes(job, adapter, data),
    }


def _choose(job: TrainJob, data: ReadData, adapter: Adapter) -> tuple[list[int], ReadData]:
    """The largest batch's step and some spread over the run; the dialogues that they need."""
    schedule = _schedule(job, data)
    dialogues = data.dialogues.dialogues

    def size(step: int) -> int:
        lengths = [
            len(data.encoded[i].token_ids) + picture_layout(adapter, dialogues[i].image).num_tokens
            for i in schedule.indices(step)
        ]
        return len(lengths) * max(lengths)

    total = job.settings.steps
    largest = max(range(min(total, schedule.steps_per_epoch)), key=size)
    spread = [number * total // _TIMED_STEPS for number in range(_TIMED_STEPS)]
    steps = [largest, *spread]
    needed = sorted({index for step in steps for index in schedule.indices(step)})
    return steps, _subset(data, needed)


def _subset(data: ReadData, needed: Sequence[int]) -> ReadData:
    chosen = tuple(data.dialogues.dialogues[index] for index in needed)
    encoded = tuple(data.encoded[index] for index in needed)
    return ReadData(replace(data.dialogues, dialogues=chosen, problems=()), encoded)


def _schedule(job: TrainJob, data: ReadData) -> BatchSchedule:
    return BatchSchedule([len(encoded.token_ids) for encoded in data.encoded], job.settings)


def _training_seconds(
    job: TrainJob,
    adapter: Adapter,
    corpus: Corpus,
    steps: Sequence[int],
    data: ReadData,
    sample: ReadData,
    team: Team,
    console: RunConsole,
) -> float:
    """Mean of the timed steps, times all steps. The first step, on the largest batch, warms up."""
    numbers = {id(dialogue): number for number, dialogue in enumerate(sample.dialogues.dialogues)}
    place = {
        index: numbers[id(dialogue)]
        for index, dialogue in enumerate(data.dialogues.dialogues)
        if id(dialogue) in numbers
    }
    measured = _Measured(_schedule(job, data), steps, place)
    few = replace(job, settings=replace(job.settings, steps=len(steps)))
    trainer = make_trainer(few, adapter, corpus, team, console, measured)
    took: list[float] = []
    last = time.perf_counter()

    def on_step(record: dict[str, float]) -> None:
        nonlocal last
        now = time.perf_counter()
        took.append(now - last)
        last = now

    trainer.run(on_step, lambda: False)
    return sum(took[1:]) / len(took[1:]) * job.settings.steps


def _teacher_seconds(
    job: TrainJob,
    adapter: Adapter,
    corpus: Corpus,
    sample: ReadData,
    data: ReadData,
    console: RunConsole,
) -> dict[str, float]:
    """Time of the teacher's answers and of its logits, where the settings ask for them."""
    share = len(data.dialogues.dialogues) / len(corpus)
    seconds: dict[str, float] = {}
    if job.settings.answers == "teacher":
        with console.progress("teacher's answers") as on_progress:
            _, took = _timed(
                lambda: with_teacher_answers(
                    adapter, corpus, sample.dialogues, job.features_dir, on_progress
                )
            )
        seconds["teacher_answers"] = took * share
    if job.settings.cache_teacher:
        with console.progress("teacher") as on_progress:
            _, took = _timed(lambda: cached_teacher(adapter, corpus, job.features_dir, on_progress))
        seconds["teacher_logits"] = took * share
    return seconds


def _evaluation_seconds(
    job: TrainJob, sandbox: TrainJob, adapter: Adapter, team: Team, console: RunConsole
) -> float:
    """Time of measuring some of the held-out dialogues, scaled to all of them."""
    data = read_data(job.eval_data, adapter, console)
    some = _subset(data, range(min(_SAMPLE_DIALOGUES, len(data.encoded))))
    started = time.perf_counter()
    corpus = make_corpus(sandbox, some, adapter, console)
    mapping = make_trainer(
        replace(sandbox, settings=replace(job.settings, cache_teacher=False, dtype="float32")),
        adapter,
        corpus,
        team,
        console,
    ).mapping
    accuracy_tables(job, adapter, corpus, mapping, console)
    return (time.perf_counter() - started) * len(data.encoded) / len(some.encoded)


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    result = function()
    return result, time.perf_counter() - started


def _peak_memory(team: Team) -> dict[str, float]:
    """The largest memory so far of this process, and of its GPU."""
    peak = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _GIB}
    if team.device.type == "cuda":
        peak["device"] = torch.cuda.max_memory_reserved(team.device) / _GIB
    return {name: round(value, 2) for name, value in peak.items()}


def _cache_sizes(job: TrainJob, adapter: Adapter, data: ReadData) -> dict[str, float]:
    """Bytes that the caches will take on disk, in GiB."""
    tokens = sum(picture_layout(adapter, image).num_tokens for image in data.dialogues.images)
    sizes = {"visual_tokens": tokens * adapter.hidden_size * 2}
    if job.settings.cache_teacher:
        vocabulary = adapter.model.get_output_embeddings().weight.shape[0]
        width = torch.empty(0, dtype=getattr(torch, job.settings.dtype)).element_size()
        sizes["teacher_logits"] = answer_edges(data.encoded)[-1] * vocabulary * width
    return {name: round(value / _GIB, 4) for name, value in sizes.items()}
