"""Writes the accuracy table of the embedded model from what its artifact measured.

python -m metacompress_compressor.scenes --seed 1001 --count 1000 --out runs/held-out
python -m metacompress_compressor.embedded.report --data runs/held-out --out table.md
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metacompress_compressor.artifact import load_artifact
from metacompress_compressor.training.dialogues import Dialogue, data_digest, read_dialogues

from . import compressor_dir


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
        budget: One entry of the artifact's `evaluation["budgets"]`.
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


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--compressor", type=Path, default=compressor_dir(), help="artifact")
    parser.add_argument("--data", type=Path, required=True, help="dialogues it was measured on")
    parser.add_argument("--out", type=Path, help="file to write (default: standard output)")
    arguments = parser.parse_args()
    evaluation = load_artifact(arguments.compressor).config.evaluation
    dialogues = read_dialogues([arguments.data]).dialogues
    if not evaluation or evaluation["data_digest"] != data_digest(dialogues):
        print(f"{arguments.compressor} was not measured on {arguments.data}", file=sys.stderr)
        return 2
    guess = most_common_answer(dialogues)
    text = "\n\n".join(table(budget, guess) for budget in evaluation["budgets"]) + "\n"
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
