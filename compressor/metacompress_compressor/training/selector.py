"""Trains the learned selector that the mapping is compared with.

    python -m metacompress_compressor.training.selector --model MODEL --data train --out selector
    metacompress eval --model MODEL --selector selector --data held-out --out eval

The same teacher, dialogues and budgets as `metacompress train`. In training every token stays and
is multiplied by its gate, a soft top-m whose temperature falls to where the gates are a choice.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from metacompress_compressor.adapters import Adapter, AdapterError, Placement
from metacompress_compressor.reductions.selector import TokenScorer, save_selector

from .console import RunConsole
from .corpus import Corpus
from .dialogues import DataError, data_digest
from .losses import prediction_loss
from .prepare import load_frozen, make_corpus, read_data
from .schedule import BatchSchedule, rate_factor
from .settings import SettingsError, TrainJob, TrainSettings
from .soft_top_k import soft_top_k
from .teacher import CachedTeacher, cached_teacher
from .team import Team

#: The temperature at the first and at the last step, in units of the scores.
TEMPERATURES = (1.0, 0.05)


def train_selector(
    job: TrainJob, adapter: Adapter, corpus: Corpus, teacher: CachedTeacher, console: RunConsole
) -> tuple[TokenScorer, list[float]]:
    """A scorer after the steps of `job.settings`, and the divergence of every step.

    Args:
        adapter: the frozen model in the dtype to train with.
        corpus, teacher: dialogues, and the full model's logits of their answers.
    """
    settings = job.settings
    torch.manual_seed(settings.seed)
    scorer = TokenScorer(adapter.hidden_size).to(adapter.device)
    optimizer = torch.optim.AdamW(scorer.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    schedule = BatchSchedule([len(e.token_ids) for e in corpus.encoded], settings)
    history: list[float] = []
    with console.progress("train") as on_progress:
        for step in range(settings.steps):
            factor = rate_factor(step, settings.steps, settings.warmup_share)
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * factor
            indices, ratio = schedule.indices(step), schedule.retention_ratios(step)[0]
            gated = _gated(scorer, adapter, corpus, indices, ratio, _temperature(step, settings))
            loss = _divergence(adapter, corpus, teacher, indices, gated)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(scorer.parameters(), 1.0, error_if_nonfinite=True)
            optimizer.step()
            history.append(loss.item())
            on_progress(step + 1, settings.steps)
    return scorer.eval(), history


def _gated(
    scorer: TokenScorer,
    adapter: Adapter,
    corpus: Corpus,
    indices: Sequence[int],
    ratio: float,
    temperature: float,
) -> list[Tensor]:
    """Every dialogue's tokens, each times its gate."""
    gated = []
    for index in indices:
        tokens = corpus.visual(index, adapter.device)
        kept = max(1, round(ratio * len(tokens)))
        gates = soft_top_k(scorer(tokens.unsqueeze(0)), kept, temperature)
        gated.append(tokens * gates.squeeze(0).unsqueeze(1))
    return gated


def _divergence(
    adapter: Adapter,
    corpus: Corpus,
    teacher: CachedTeacher,
    indices: Sequence[int],
    visual: Sequence[Tensor],
) -> Tensor:
    everything = [Placement.contiguous(len(tokens)) for tokens in visual]
    text = corpus.text(indices, adapter.device)
    return prediction_loss(adapter.answer_logits(text, visual, everything), teacher(indices))


def _temperature(step: int, settings: TrainSettings) -> float:
    """Falls evenly in the logarithm."""
    first, last = map(math.log, TEMPERATURES)
    return math.exp(first + (last - first) * step / max(1, settings.steps - 1))


def run(job: TrainJob) -> dict[str, object]:
    """Train, and write the selector to `job.out`. Returns its record.

    Raises:
        AdapterError, DataError, SettingsError: model, data or settings cannot be used.
    """
    console, team = RunConsole(), Team(job.device)
    if job.threads:
        torch.set_num_threads(job.threads)
    adapter = load_frozen(job, team)
    data = read_data(job.data, adapter, console)
    corpus = make_corpus(job, data, adapter, console)
    adapter.model.to(getattr(torch, job.settings.dtype))
    with console.progress("teacher") as on_progress:
        teacher = cached_teacher(adapter, corpus, job.features_dir, on_progress)
    scorer, history = train_selector(job, adapter, corpus, teacher, console)
    settings = job.settings
    record: dict[str, object] = {
        "fingerprint": adapter.base_model_info().fingerprint,
        "data_digest": data_digest(corpus.dialogues),
        "retention_ratios": list(settings.retention_ratios),
        "steps": settings.steps,
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "temperatures": list(TEMPERATURES),
        "seed": settings.seed,
        "last_divergence": history[-1],
    }
    save_selector(job.out, scorer, record)
    return record


def main(argv: Sequence[str] | None = None) -> int:
    """Train as `argv` says; the last line on standard output is JSON. 0, or 2 for bad input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="dialogues to train on")
    parser.add_argument("--out", type=Path, required=True, help="folder of the selector")
    parser.add_argument("--cache-dir", type=Path, help="of visual tokens (default: OUT/cache)")
    parser.add_argument(
        "--retention", type=float, nargs="+", default=[0.1], help="a batch draws one (default: 0.1)"
    )
    parser.add_argument("--steps", type=int, default=600, help="batches (default: 600)")
    parser.add_argument("--batch-size", type=int, default=16, help="dialogues (default: 16)")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate (default: 0.001)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="torch device (default: cpu)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's)")
    args = parser.parse_args(argv)
    try:
        settings = TrainSettings(
            retention_ratios=tuple(args.retention),
            steps=args.steps,
            batch_size=args.batch_size,
            learning_rate=args.lr,
            seed=args.seed,
        )
        record = run(
            TrainJob(
                model_dir=args.model,
                data=tuple(args.data),
                out=args.out,
                cache_dir=args.cache_dir,
                device=args.device,
                threads=args.threads,
                settings=settings,
            )
        )
    except (SettingsError, AdapterError, DataError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
