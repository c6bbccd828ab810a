"""Measures the embedded model on held-out dialogues, with and without compression, as Markdown.

python -m metacompress_compressor.scenes --seed 1001 --count 500 --turns 5 --out runs/held-out
python -m metacompress_compressor.embedded.report --data runs/held-out
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from metacompress_compressor.adapters import Adapter, load_adapter
from metacompress_compressor.artifact import Artifact, Positions, load_artifact
from metacompress_compressor.evaluation import evaluate
from metacompress_compressor.reductions import (
    AvgPool2d,
    Budget,
    Full,
    Mapped,
    PictureBatch,
    Reduced,
    Reduction,
    Sample,
)
from metacompress_compressor.training.corpus import Corpus, encode_dialogues, join_features
from metacompress_compressor.training.dialogues import DataError, Dialogue, read_dialogues
from metacompress_compressor.training.features import cached_features
from metacompress_compressor.windows import WindowKind

from . import compressor_dir, model_dir


@dataclass(frozen=True)
class ByRule:
    """A method at the m of one rule of windows, under another name."""

    method: Reduction
    windows: WindowKind
    name: str

    def __call__(self, pictures: PictureBatch, budget: Budget) -> Reduced:
        """As the method."""
        return self.method(pictures, budget)


def methods(artifact: Artifact) -> list[Reduction]:
    """The columns of the table.

    Sampling stands there at both budgets: on rows of 16 patches, 25 equidistant tokens happen to
    visit the same few columns, 26 do not.
    """
    return [
        Full(),
        ByRule(Sample(), "1d", "sample"),
        ByRule(Sample(), "2d", "sample, 2-D budget"),
        AvgPool2d(),
        Mapped(artifact.mapping),
    ]


def load_corpus(adapter: Adapter, data: Path, cache_dir: Path, progress: Progress) -> Corpus:
    """Dialogues of a folder with the visual tokens of their pictures. Raises DataError."""
    dialogues, encoded = encode_dialogues(adapter, read_dialogues([data]))
    task = progress.add_task("visual tokens")
    features = cached_features(
        adapter,
        dialogues.images,
        cache_dir,
        lambda done, total: progress.update(task, completed=done, total=total),
    )
    return join_features(dialogues, encoded, features)


def most_common_answer(dialogues: Sequence[Dialogue]) -> dict[str, float]:
    """Accuracy of always giving the most common answer to a kind of question, by kind."""
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for dialogue in dialogues:
        for turn in dialogue.turns:
            answers[turn.kind][turn.answer] += 1
    return {
        kind: max(counter.values()) / counter.total() for kind, counter in sorted(answers.items())
    }


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def table(budget: dict[str, Any], guess: dict[str, float]) -> str:
    """One budget's accuracy in percent as Markdown: a row per turn and kind, a column per method.

    Args:
        budget: What `evaluate` returns.
        guess: Accuracy of the most common answer, by kind.
    """
    methods = budget["methods"]
    heads = [f"{name} ({result['visual_tokens']})" for name, result in methods.items()]
    rows = [["accuracy in percent (visual tokens)", *heads, "most common answer"]]
    rows.append(["---", *["---:"] * (len(heads) + 1)])
    rows.append(["**all**", *(_percent(result["accuracy"]) for result in methods.values()), ""])
    for turn in range(len(next(iter(methods.values()))["per_turn"])):
        shares = [_percent(result["per_turn"][turn]) for result in methods.values()]
        rows.append([f"turn {turn + 1}", *shares, ""])
    for kind, share in guess.items():
        shares = [_percent(result["per_kind"][kind]) for result in methods.values()]
        rows.append([kind, *shares, _percent(share)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def measure(
    adapter: Adapter, corpus: Corpus, artifact: Artifact, positions: Positions, progress: Progress
) -> dict[str, Any]:
    """Accuracy of all methods at the artifact's budget, with one rule of positions for all."""
    task = progress.add_task(f"{positions} positions")
    return evaluate(
        adapter,
        corpus,
        methods(artifact),
        artifact.config.retention_ratio,
        positions,
        on_progress=lambda done, total: progress.update(task, completed=done, total=total),
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=model_dir(), help="checkpoint folder")
    parser.add_argument("--compressor", type=Path, default=compressor_dir(), help="artifact folder")
    parser.add_argument("--data", type=Path, required=True, help="dialogues to measure on")
    arguments = parser.parse_args()
    rules: tuple[Positions, Positions] = ("kept", "contiguous")
    with Progress(console=Console(stderr=True)) as progress, tempfile.TemporaryDirectory() as cache:
        adapter, artifact = load_adapter(arguments.model), load_artifact(arguments.compressor)
        try:
            corpus = load_corpus(adapter, arguments.data, Path(cache), progress)
        except DataError as error:
            parser.error(str(error))
        results = [measure(adapter, corpus, artifact, rule, progress) for rule in rules]
    guess = most_common_answer(corpus.dialogues)
    for rule, result in zip(rules, results, strict=True):
        print(f"Positions {rule}:\n\n{table(result, guess)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
