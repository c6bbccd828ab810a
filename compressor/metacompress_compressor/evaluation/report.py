"""Writes what a person looks at: tables as Markdown, and plots."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .markdown import all_tables
from .plots import draw_accuracy, draw_turns

REPORT_FILE = "report.md"


def write_report(records: Sequence[Mapping[str, Any]], folder: Path) -> str:
    """Write `report.md` and the plots to `folder`.

    Returns:
        The Markdown.
    """
    text = all_tables(records)
    (folder / REPORT_FILE).write_text(text, encoding="utf-8")
    draw_accuracy(records, folder / "accuracy.png")
    budgets = {record["retention_ratio"] for record in records if record["kind"] != "full"}
    if budgets:
        draw_turns(records, min(budgets, key=lambda ratio: abs(ratio - 0.1)), folder / "turns.png")
    return text
