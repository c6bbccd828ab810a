"""What share of a training step the mapping takes: would a backward kernel be noticed?

    python -m metacompress_compressor.scenes --seed 1 --count 200 --turns 5 --out runs/few
    python -m benchmarks.training_share --data runs/few

Runs steps of the real trainer on a CPU, and after each of them the mapping's own part once more by
itself: P of every picture, the outputs, and their gradients back to the parameters, by the
reference. Prints one record: processor time of a step and of that part, and its share. Processor
time of one thread, because others may use the machine.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

import torch

from benchmarks.records import Record, provenance
from metacompress_compressor.embedded import model_dir
from metacompress_compressor.picture_mapping import apply_weights, compression_weights_of
from metacompress_compressor.training.console import RunConsole
from metacompress_compressor.training.corpus import Corpus
from metacompress_compressor.training.loop import Trainer
from metacompress_compressor.training.losses import column_loss
from metacompress_compressor.training.prepare import (
    load_frozen,
    make_trainer,
    read_data,
    training_corpus,
)
from metacompress_compressor.training.schedule import BatchSchedule
from metacompress_compressor.training.settings import TrainJob, TrainSettings
from metacompress_compressor.training.team import Team


def measure(job: TrainJob) -> dict[str, object]:
    """Quantiles of a step and of the mapping in it; the first step of each warms up."""
    team, console = Team(job.device), RunConsole(quiet=True)
    adapter = load_frozen(job, team)
    corpus = training_corpus(job, read_data(job.data, adapter, console), adapter, team, console)
    trainer = make_trainer(job, adapter, corpus, team, console)
    schedule = BatchSchedule([len(one.token_ids) for one in corpus.encoded], job.settings)
    alone: list[float] = []
    steps: list[float] = []
    started = time.process_time()

    def on_step(record: dict[str, float]) -> None:
        nonlocal started
        del record
        steps.append(time.process_time() - started)
        indices = schedule.indices(trainer.step - 1)
        (ratio,) = set(schedule.retention_ratios(trainer.step - 1))
        alone.append(mapping_seconds(trainer, corpus, indices, ratio))
        started = time.process_time()

    trainer.run(on_step, lambda: False)
    steps, alone = steps[1:], alone[1:]
    shares = [part / whole for part, whole in zip(alone, steps, strict=True)]
    return {"step_s": _spread(steps), "mapping_s": _spread(alone), "share": _spread(shares)}


def mapping_seconds(trainer: Trainer, corpus: Corpus, indices: list[int], ratio: float) -> float:
    """Forward and backward of the mapping for the pictures of one batch, all of one layout."""
    x = torch.stack([corpus.visual(index, torch.device("cpu")) for index in indices])
    (layout,) = {corpus.layout(index) for index in indices}
    started = time.process_time()
    weights = compression_weights_of(trainer.mapping, x, layout, ratio)
    outputs = apply_weights(trainer.mapping, weights, x, layout, ratio)
    (outputs.square().mean() + column_loss(weights)).backward()  # type: ignore[no-untyped-call]
    return time.process_time() - started


def _spread(values: list[float]) -> dict[str, float]:
    fifths = quantiles(values, n=5)
    return {"p20": fifths[0], "p50": median(values), "p80": fifths[-1]}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=model_dir())
    parser.add_argument("--data", type=Path, required=True, help="folder or file of dialogues")
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--cache-teacher", action="store_true")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    settings = TrainSettings(steps=args.steps, batch_size=16, cache_teacher=args.cache_teacher)
    with tempfile.TemporaryDirectory() as folder:
        job = TrainJob(args.model, (args.data,), Path(folder), settings=settings)
        metrics = measure(job)
    cell = {"model": args.model.name, "batch": 16, "cached_teacher": args.cache_teacher}
    print(Record("training_share", cell, metrics, provenance(torch.device("cpu"))).line())


if __name__ == "__main__":
    main()
