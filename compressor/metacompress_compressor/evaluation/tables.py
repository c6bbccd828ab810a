"""Puts the tables of committed results into a page, so that page and results agree.

    python -m metacompress_compressor.evaluation.tables docs/experiments.md

A page asks for a table by name and file, relative to itself, and gets it between two marks:

    <!-- table: accuracy ../benchmarks/results/embedded.jsonl -->
    <!-- end of table -->

Whatever stood between them is replaced. `--check` changes nothing and fails if it would.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .markdown import TABLES

_MARKED = (
    r"(?P<start><!-- {mark}: (?P<name>\S+) (?P<file>\S+) -->\n).*?(?P<end><!-- end of {mark} -->)"
)
_MADE = {name: make for name, (_, make) in TABLES.items()}


class TableError(ValueError):
    """A table that cannot be made. The message is one line."""


def read_records(file: Path) -> list[dict[str, Any]]:
    """The records in a results file. Raises TableError if there are none to read."""
    try:
        records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise TableError(f"cannot read results in {file}: {error}") from error
    if not records:
        raise TableError(f"there are no results in {file}")
    return records


def filled(
    text: str,
    folder: Path,
    tables: Mapping[str, Callable[[list[dict[str, Any]]], str]] = _MADE,
    mark: str = "table",
) -> str:
    """A page's text with every table that it asks for.

    Args:
        text: of the page.
        folder: that its files are relative to.
        tables: what makes each, by the name that a page asks for it.
        mark: the word of the marks.

    Raises:
        TableError: an unknown table, or results that cannot be read.
    """

    def table(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in tables:
            raise TableError(f"there is no table {name!r}, only {', '.join(tables)}")
        made = tables[name](read_records(folder / found["file"]))
        return f"{found['start']}\n{made}\n\n{found['end']}"

    return re.sub(_MARKED.format(mark=mark), table, text, flags=re.DOTALL)


def main(argv: Sequence[str] | None = None) -> int:
    """Fill in the pages. Returns 0; 1 if `--check` found one out of date; 2 for bad input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pages", nargs="+", type=Path, help="Markdown files")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if out of date")
    arguments = parser.parse_args(argv)
    status = 0
    for page in arguments.pages:
        text = page.read_text(encoding="utf-8")
        try:
            new = filled(text, page.parent)
        except TableError as error:
            print(f"{page}: {error}", file=sys.stderr)
            return 2
        if new != text and arguments.check:
            print(f"{page} does not hold what its results say", file=sys.stderr)
            status = 1
        elif new != text:
            page.write_text(new, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
