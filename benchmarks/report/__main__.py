"""Joins all committed results into one page, draws the plots, and fills the pages that quote them.

    python -m benchmarks.report              # writes benchmarks/results/README.md, PNGs, README.md
    python -m benchmarks.report --check      # changes nothing, fails if a page is out of date

A page asks for a table with `<!-- benchmark: gains benchmarks/results/serving.jsonl -->` and gets
it before `<!-- end of benchmark -->`.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.records import RESULTS, ROOT
from benchmarks.report import other_tables, plots, serving_tables
from benchmarks.report.markdown import RawRecord, origin
from metacompress_compressor.evaluation.markdown import TABLES as EVALUATION
from metacompress_compressor.evaluation.tables import filled, read_records

Table = Callable[[Sequence[RawRecord]], str]

PAGES = (ROOT / "README.md", ROOT / "docs/benchmarks.md")
SERVING = RESULTS / "serving.jsonl"
EMBEDDED = RESULTS / "embedded.jsonl"
PLOTS = ("serving-crowds.png", "serving-memory.png", "serving-pareto.png")

SECTIONS: dict[str, tuple[tuple[str, Table], ...]] = {
    "serving": (
        ("What a tenth of the tokens gains", serving_tables.gains),
        ("One dialogue at a time", serving_tables.contestants),
        ("KV memory", serving_tables.memory),
        ("What the reduction costs", serving_tables.costs),
        ("More dialogues at once", serving_tables.crowds),
        ("Dialogues that arrive by themselves", serving_tables.arrivals),
        ("Idle sessions under cache pressure, session tiers off and on", serving_tables.pressure),
    ),
    "profile": (("Costs of the server that were removed", other_tables.profile),),
    "sessions": (("Where a returning session's tokens were found", other_tables.sessions),),
    "overload": (("Twice the load that a server carries", other_tables.overload),),
    "accuracy": (("Answers through the server", other_tables.served_accuracy),),
    "capacity": (("Sessions as predicted and as measured", other_tables.capacity),),
    "outsiders": (("Measured by other people's tools", other_tables.outsiders),),
    "gpu_profile": (("The paper's efficiency table", other_tables.gpu_profile),),
}
"""By benchmark: what its records are shown as. Others get a plain list of their figures."""

ORDER = ("serving", "profile", "sessions", "overload", "accuracy", "capacity", "outsiders")
QUOTED: dict[str, Table] = {
    make.__name__: make for sections in SECTIONS.values() for _, make in sections
}
"""Tables that a page may ask for, by name."""

_HEAD = """# Results

Written by `python -m benchmarks.report` from the JSON lines in this folder; do not edit. What is
measured and how: [docs/benchmarks.md](../../docs/benchmarks.md). Ratios are paired within blocks of
one interleaved run, with intervals of 95 %.
"""


def page(folder: Path) -> str:
    """The joined page, of every file that is in the shape of records."""
    parts = [_HEAD]
    for benchmark, records in _all_records(folder).items():
        parts.append(f"## {benchmark.replace('_', ' ').capitalize()}\n\n{origin(records)}\n")
        sections = SECTIONS.get(benchmark, (("", other_tables.generic),))
        for heading, make in sections:
            title = f"### {heading}\n\n" if heading else ""
            parts.append(f"{title}{make(records)}\n")
        if benchmark == "serving":
            parts += [f"![{name}]({name})\n" for name in PLOTS]
    if (folder / EMBEDDED.name).is_file():
        parts.append(_accuracy(read_records(folder / EMBEDDED.name)))
    return "\n".join(parts)


def draw(folder: Path = RESULTS) -> None:
    """All plots, beside their records."""
    serving = read_records(folder / SERVING.name)
    plots.draw_crowds(serving, folder / PLOTS[0])
    plots.draw_memory(serving, folder / PLOTS[1])
    plots.draw_pareto(serving, read_records(folder / EMBEDDED.name), folder / PLOTS[2])


def _accuracy(records: Sequence[RawRecord]) -> str:
    """Of `metacompress eval`, whose records have a shape of their own."""
    title, make = EVALUATION["turns"]
    quoted = "all of it in [docs/experiments.md](../../docs/experiments.md)"
    return (
        f"## Accuracy offline\n\n`metacompress eval`; {quoted}.\n\n### {title}\n\n{make(records)}\n"
    )


def _all_records(folder: Path) -> dict[str, list[RawRecord]]:
    """By benchmark, in the order of the page; files of another shape are not ours to show."""
    found: dict[str, list[RawRecord]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if {"benchmark", "cell", "metrics", "provenance"} == set(record):
                found.setdefault(record["benchmark"], []).append(record)
    names = [*ORDER, *sorted(set(found) - set(ORDER))]
    return {name: found[name] for name in names if name in found}


def main(argv: Sequence[str] | None = None) -> int:
    """Write, or check. Returns 0, or 1 if `--check` found a page out of date."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args(argv)
    wanted = {RESULTS / "README.md": page(RESULTS)}
    for path in PAGES:
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            wanted[path] = filled(text, path.parent, QUOTED, "benchmark")
    stale = [path for path, text in wanted.items() if not _holds(path, text)]
    if arguments.check:
        for path in stale:
            print(f"{path.relative_to(ROOT)} does not hold what its results say", file=sys.stderr)
        return int(bool(stale))
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")
    draw()
    return 0


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
