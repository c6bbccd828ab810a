"""From a job to a trainer that is ready: dialogues, visual tokens, first mapping, teacher."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from metacompress_compressor.adapters import Adapter, EncodedDialogue, load_adapter
from metacompress_compressor.calibration import calibrate_beta
from metacompress_compressor.mapping import TokenMapping
from metacompress_compressor.picture_mapping import split_parts

from .answers import with_teacher_answers
from .checkpoint import load_checkpoint
from .console import RunConsole
from .corpus import Corpus, encode_dialogues, join_features
from .dialogues import DialogueSet, read_dialogues
from .features import cached_features
from .loop import Trainer
from .schedule import BatchSchedule, Schedule
from .settings import TrainJob
from .student import Student
from .teacher import cached_teacher
from .team import Team

_CALIBRATION_PICTURES = 32


def load_frozen(job: TrainJob, team: Team) -> Adapter:
    """The checkpoint, for computing visual tokens and answers.

    On a CPU in float32; on a GPU in the dtype to train with, which is half of the memory.

    Raises:
        AdapterError: it cannot be used.
    """
    on_cpu = team.device.type == "cpu"
    dtype = torch.float32 if on_cpu else getattr(torch, job.settings.dtype)
    return load_adapter(job.model_dir, dtype=dtype, device=str(team.device))


@dataclass(frozen=True)
class ReadData:
    """Dialogues that can be used, and their tokens."""

    dialogues: DialogueSet
    encoded: tuple[EncodedDialogue, ...]


def read_data(files: Sequence[Path], adapter: Adapter, console: RunConsole) -> ReadData:
    """The usable dialogues of some files; what cannot be used is shown and counted.

    Raises:
        DataError: nothing usable.
    """
    data, encoded = encode_dialogues(adapter, read_dialogues(files))
    console.problems(data.problems)
    turns = sum(len(dialogue.turns) for dialogue in data.dialogues)
    console.note(f"{len(data.dialogues)} dialogues, {turns} turns, {len(data.images)} pictures")
    return ReadData(data, encoded)


def make_corpus(job: TrainJob, data: ReadData, adapter: Adapter, console: RunConsole) -> Corpus:
    """Dialogues with their pictures' visual tokens, from the cache if it has them.

    Raises:
        DataError: a picture that cannot be read.
    """
    images = data.dialogues.images
    with console.progress("visual tokens") as on_progress:
        features = cached_features(adapter, images, job.features_dir, on_progress)
    return join_features(data.dialogues, data.encoded, features)


def training_corpus(
    job: TrainJob, data: ReadData, adapter: Adapter, team: Team, console: RunConsole
) -> Corpus:
    """The corpus to train on, with the answers that the settings ask for."""
    with team.main_first():
        corpus = make_corpus(job, data, adapter, console)
        if job.settings.answers == "data":
            return corpus
        with console.progress("teacher's answers") as on_progress:
            said = with_teacher_answers(
                adapter, corpus, data.dialogues, job.features_dir, on_progress
            )
        answered = ReadData(*encode_dialogues(adapter, said))
        console.problems(answered.dialogues.problems)
        return make_corpus(job, answered, adapter, console)


def make_trainer(
    job: TrainJob,
    adapter: Adapter,
    corpus: Corpus,
    team: Team,
    console: RunConsole,
    schedule: Schedule | None = None,
) -> Trainer:
    """A trainer before its first step.

    Args:
        job: its settings decide everything about the mapping.
        adapter: in float32; its model is brought to the dtype of the settings.
        corpus: to train on.
        team: the processes of the run.
        console: for notes.
        schedule: instead of the run's own.
    """
    settings = job.settings
    mapping = _initial_mapping(job, adapter, corpus, console)
    adapter.model.to(getattr(torch, settings.dtype))
    if job.gradient_checkpointing:
        adapter.checkpoint_gradients()
    teacher = None
    if settings.cache_teacher:
        with team.main_first(), console.progress("teacher") as on_progress:
            teacher = cached_teacher(adapter, corpus, job.features_dir, on_progress)
    student = Student(adapter, corpus, teacher, mapping, settings.positions)
    lengths = [len(encoded.token_ids) for encoded in corpus.encoded]
    return Trainer(
        student, schedule or BatchSchedule(lengths, settings), settings, team, job.micro_batch
    )


def resume(job: TrainJob, trainer: Trainer, identity: dict[str, Any], console: RunConsole) -> None:
    """Bring a trainer to where the checkpoint in `job.out` stands. Raises CheckpointMismatch."""
    trainer.restore(load_checkpoint(job.out, identity))
    console.note(f"going on after step {trainer.step}")


def _initial_mapping(
    job: TrainJob, adapter: Adapter, corpus: Corpus, console: RunConsole
) -> TokenMapping:
    settings = job.settings
    torch.manual_seed(settings.seed)
    mapping = TokenMapping(
        adapter.hidden_size,
        settings.key_dim,
        method=settings.method,
        windows=settings.windows,
        code=settings.position_code,
        token_norm=settings.token_norm,
        conditioning=settings.conditioning,
    ).to(adapter.device)
    layouts = corpus.features.layouts
    alike = [row for row, layout in enumerate(layouts) if layout == layouts[0]]
    sample = torch.stack([corpus.features[row] for row in alike[:_CALIBRATION_PICTURES]])
    parts = split_parts(
        sample.to(adapter.device, torch.float32), layouts[0].for_windows(settings.windows)
    )
    part, tokens, _ = max(parts, key=lambda entry: entry[0].num_tokens)
    ratio, target = settings.retention_ratios[0], settings.initial_mass
    mass = calibrate_beta(mapping, tokens, part.grid, ratio, target)
    console.note(f"beta starts at {mapping.beta[0].item():.3g}: {mass:.2f} of a row in its window")
    return mapping
