"""One evaluation from dialogues to records: read, cache, try everything, measure costs, write."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from PIL import Image

from metacompress_compressor.adapters import Adapter, AdapterError, load_adapter
from metacompress_compressor.artifact import load_config, verify_against_model
from metacompress_compressor.language_model_shape import LanguageModelShape
from metacompress_compressor.reductions import Budget, FastV
from metacompress_compressor.training.answers import with_teacher_answers
from metacompress_compressor.training.console import RunConsole
from metacompress_compressor.training.corpus import Corpus, encode_dialogues, join_features
from metacompress_compressor.training.dialogues import data_digest, read_dialogues
from metacompress_compressor.training.disk_cache import checkpoint_digest
from metacompress_compressor.training.features import cached_features

from .contestants import Contestant, baselines, mappings, selectors, trials_of
from .cost import CostMeter
from .flops import prefill_flops, visual_tokens_by_layer
from .generation import score_generated
from .outcomes import OutcomeStore, Scores
from .provenance import code_digest, commit, hardware, versions
from .records import ScoreBoard
from .scoring import Trial, pictures_of, score_batch
from .settings import Answers, EvalJob, Scoring

RECORDS_FILE = "results.jsonl"
SCORINGS: dict[Scoring, str] = {
    "teacher-forced": "exact answer after the data's earlier answers",
    "generated": "the model's own answers, by consensus where people's answers are given",
}

ANSWERS: dict[Answers, str] = {"data": "", "full-model": "; right is what the full model says"}


def run_evaluation(job: EvalJob, console: RunConsole) -> list[dict[str, Any]]:
    """Try everything that the job names, and write `results.jsonl` to its folder.

    Scores are kept as they come: the same job, started again, goes on where it was stopped, and a
    job with a compressor more computes only what is new.

    Returns:
        One record for each method, budget and rule of positions.

    Raises:
        AdapterError, ArtifactError, CheckpointError: model or compressors cannot be used, or do not
            fit together.
        SelectorError: a selector cannot be used.
        DataError: the dialogues cannot be used.
        OutcomesMismatch: the folder holds another evaluation.
    """
    for folder in job.compressors:
        verify_against_model(load_config(folder), job.model_dir)
    if job.threads:
        torch.set_num_threads(job.threads)
    job.out.mkdir(parents=True, exist_ok=True)
    adapter = load_adapter(job.model_dir, device=job.device)
    corpus = _corpus(job, adapter, console)
    adapter.model.to(getattr(torch, job.dtype))
    names = [n for n in job.methods if job.scoring == "teacher-forced" or n != FastV.name]
    contestants = [
        *_able(adapter, corpus, baselines(names, job.prumerge_layer), console),
        *selectors(job.selectors, adapter.base_model_info().fingerprint, adapter.device),
        *mappings(job.compressors, adapter.device),
    ]
    trials = trials_of(contestants, job.retention_ratios, job.positions)
    digest = data_digest(corpus.dialogues)
    store = OutcomeStore(job.out, _identity(job, digest))
    scores = _score(job, adapter, corpus, trials, store, console)
    facts = _facts(job, adapter, corpus, digest)
    records = _records(adapter, corpus, trials, scores, facts, console)
    lines = [json.dumps(record) + "\n" for record in records]
    (job.out / RECORDS_FILE).write_text("".join(lines))
    return records


def _corpus(job: EvalJob, adapter: Adapter, console: RunConsole) -> Corpus:
    data, encoded = encode_dialogues(adapter, read_dialogues(job.data))
    console.problems(data.problems)
    if job.limit:
        data = replace(data, dialogues=data.dialogues[: job.limit])
        encoded = encoded[: job.limit]
    console.note(f"{len(data.dialogues)} dialogues about {len(data.images)} pictures")
    with console.progress("visual tokens") as on_progress:
        features = cached_features(adapter, data.images, job.features_dir, on_progress)
    corpus = join_features(data, encoded, features)
    if job.answers == "data":
        return corpus
    with console.progress("the full model's answers") as on_progress:
        said = with_teacher_answers(adapter, corpus, data, job.features_dir, on_progress)
    answered = encode_dialogues(adapter, said)
    console.problems(answered[0].problems)
    features = cached_features(adapter, answered[0].images, job.features_dir, on_progress)
    return join_features(*answered, features)


def _able(
    adapter: Adapter, corpus: Corpus, contestants: Sequence[Contestant], console: RunConsole
) -> list[Contestant]:
    """Those that get what they need of this family's adapter; the others are named."""
    pictures = pictures_of(adapter, corpus, [0])
    able = []
    for contestant in contestants:
        method = contestant.method
        try:
            if not isinstance(method, FastV):
                method(pictures, Budget(pictures.layout, 0.5, method.windows or "2d"))
        except AdapterError as error:
            console.note(f"{contestant.label} is left out: {error}")
        else:
            able.append(contestant)
    return able


def _identity(job: EvalJob, digest: str) -> dict[str, Any]:
    """What scores must share with the evaluation that goes on from them."""
    return {
        "model": checkpoint_digest(job.model_dir),
        "data": digest,
        "dtype": job.dtype,
        "scoring": job.scoring,
        "answers": job.answers,
        "code": code_digest(),
    }


def _facts(job: EvalJob, adapter: Adapter, corpus: Corpus, digest: str) -> dict[str, Any]:
    """What every record says of the measurement."""
    base_model = adapter.base_model_info()
    return {
        "model": base_model.id,
        "model_fingerprint": base_model.fingerprint,
        "data_digest": digest,
        "dialogues": len(corpus),
        "turns": sum(len(dialogue.turns) for dialogue in corpus.dialogues),
        "scoring": SCORINGS[job.scoring] + ANSWERS[job.answers],
        "dtype": job.dtype,
        "versions": versions(),
        "hardware": hardware(adapter.device),
        "commit": commit(),
    }


def _score(
    job: EvalJob,
    adapter: Adapter,
    corpus: Corpus,
    trials: Mapping[Trial, Contestant],
    store: OutcomeStore,
    console: RunConsole,
) -> dict[Trial, Scores]:
    keys = {trial: _key(trial, contestant) for trial, contestant in trials.items()}
    score = score_batch if job.scoring == "teacher-forced" else score_generated
    done = 0
    with console.progress(f"answers, {len(trials)} trials of each dialogue") as on_progress:
        for indices in corpus.uniform_batches(job.batch_size):
            missing = [trial for trial in trials if store.missing(keys[trial], indices)]
            if missing:
                found = score(adapter, corpus, indices, missing)
                store.add(indices, {keys[trial]: scores for trial, scores in found.items()})
            done += len(indices)
            on_progress(done, len(corpus))
    return {trial: store.scores(key) for trial, key in keys.items()}


def _key(trial: Trial, contestant: Contestant) -> str:
    """Names a trial by everything of the method that decides its scores."""
    settings = json.dumps(contestant.settings, sort_keys=True)
    return f"{trial.key} {hashlib.sha256(settings.encode()).hexdigest()[:12]}"


def _records(
    adapter: Adapter,
    corpus: Corpus,
    trials: Mapping[Trial, Contestant],
    scores: Mapping[Trial, Scores],
    facts: Mapping[str, Any],
    console: RunConsole,
) -> list[dict[str, Any]]:
    board = ScoreBoard(corpus, trials, scores)
    with Image.open(corpus.dialogues[0].image) as picture:
        meter = CostMeter(adapter, picture.convert("RGB"))
    work = _work_counter(adapter, corpus, board)
    records = []
    with console.progress("costs") as on_progress:
        costs: dict[tuple[Any, ...], dict[str, Any] | None] = {}
        for trial in trials:
            of_reduction = (trial.method, trial.retention_ratio, trial.windows)
            if of_reduction not in costs:
                cost = meter.measure(trial)
                costs[of_reduction] = cost.record() if cost else None
            extra = {"prefill": work(trial), "reduction": costs[of_reduction]}
            records.append({**board.record(trial), **extra, **facts})
            on_progress(len(records), len(trials))
    return records


def _work_counter(
    adapter: Adapter, corpus: Corpus, board: ScoreBoard
) -> Callable[[Trial], dict[str, Any]]:
    """Counts what the prefill of a first turn costs, at the mean length of its text."""
    shape = LanguageModelShape.of(adapter.model.config)
    prompts = [encoded.answer_indices[0][0] - 1 for encoded in corpus.encoded]
    text = round(sum(prompts) / len(prompts))
    layouts = [corpus.layout(index).num_tokens for index in range(len(corpus))]
    n = round(sum(layouts) / len(layouts))

    def count(trial: Trial) -> dict[str, Any]:
        m = round(board.visual_tokens(trial))
        full = shape.prefill_flops([text + n] * shape.num_layers)
        flops = prefill_flops(trial.method, shape, n, m, text)
        visual = visual_tokens_by_layer(trial.method, shape, n, m)
        return {
            "text_tokens": text,
            "flops": flops,
            "flops_share": round(flops / full, 4),
            "visual_kv_share": round(sum(visual) / (n * shape.num_layers), 4),
        }

    return count
