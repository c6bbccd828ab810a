"""Fills docs/capacity.md: tables of the capacity model and of what was measured, and the plots.

    python -m benchmarks.capacity.page            # rewrites the page between its marks, and plots
    python -m benchmarks.capacity.page --check    # writes nothing, status 1 if the page is behind

A page asks for a table by name, between `<!-- table: NAME -->` and `<!-- end of table -->`.
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.capacity.plots import draw_gpus, draw_models
from benchmarks.capacity.tables import check_table, models_table, outsiders_table, profile_table
from benchmarks.records import RESULTS, ROOT, read

PAGE = ROOT / "docs/capacity.md"
PLOTS = {"capacity-models.png": draw_models, "capacity-gpus.png": draw_gpus}

TABLES: dict[str, Callable[[], str]] = {
    "models": models_table,
    "check": lambda: check_table(read(RESULTS / "capacity.jsonl")),
    "outsiders": lambda: outsiders_table(read(RESULTS / "outsiders.jsonl")),
    "gpu-profile": lambda: profile_table(read(RESULTS / "gpu-profile.jsonl")),
}

_MARKED = re.compile(
    r"(?P<start><!-- table: (?P<name>[^>]+?) -->\n).*?(?P<end><!-- end of table -->)", re.DOTALL
)


def filled(text: str) -> str:
    """The page with every table that it asks for.

    Raises:
        KeyError: a table that there is not.
    """

    def table(mark: re.Match[str]) -> str:
        return f"{mark['start']}\n{TABLES[mark['name']]()}\n\n{mark['end']}"

    return _MARKED.sub(table, text)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing, fail if out of date")
    args: Any = parser.parse_args(arguments)
    text = PAGE.read_text(encoding="utf-8")
    new = filled(text)
    if args.check:
        if new != text:
            print(f"{PAGE.name} does not hold what its results say", file=sys.stderr)
        return int(new != text)
    PAGE.write_text(new, encoding="utf-8")
    for name, draw in PLOTS.items():
        draw(Path(PAGE.parent / name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
