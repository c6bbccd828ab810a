"""Writes the tables of docs/kernels.md: what was measured, the floor, what the kernels take.

    python benchmarks/kernels_page.py            # rewrites the page between its markers
    python benchmarks/kernels_page.py --measured # only the table of measurements, at once

Measurements are the lines of benchmarks/results/kernels-*.jsonl; without any, the page says so.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import kernel_floor

from metacompress_kernels import resources

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/kernels.md"
NOT_MEASURED = "*Not measured yet: no GPU has run `make test-gpu` so far.*"

Record = dict[str, object]


def read_records(folder: Path) -> list[Record]:
    """Lines of all runs on GPUs, files by name."""
    return [
        json.loads(line)
        for path in sorted(folder.glob("kernels-*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]


def measured(records: list[Record]) -> str:
    """A table for each device, and the aims beside what was reached; or that there is nothing."""
    if not records:
        return NOT_MEASURED
    return "\n\n".join(
        _of_device([record for record in records if record["device"] == device])
        for device in sorted({str(record["device"]) for record in records})
    )


def _of_device(records: list[Record]) -> str:
    first = records[0]
    lines = [
        f"{first['device']}, {first['dtype']}, torch {first['torch']}, triton {first['triton']}, "
        f"commit {first['commit']}, {str(first['date'])[:10]}, "
        f"device copy {_number(first['copy_gb_per_s']):,.0f} GB/s.",
        "",
        "| shape | batch | form | method | launch | work | µs (p20 to p80) | GB/s | of copy |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(record) for record in records]
    lines += ["", *_aims(records)]
    return "\n".join(lines)


def _row(record: Record) -> str:
    names = ("shape", "batch", "form", "method", "launch", "work")
    cells = [str(record.get(name, "")) for name in names]
    if "refused" in record:
        cells += [str(record["refused"]), "", ""]
    else:
        p20, p50, p80 = (_number(record[name]) * 1e6 for name in ("p20", "p50", "p80"))
        cells.append(f"{p50:,.1f} ({p20:,.1f} to {p80:,.1f})")
        timed = "gb_per_s" in record
        cells += [f"{_number(record['gb_per_s']):,.0f}" if timed else ""]
        cells += [f"{_number(record['of_copy']):.0%}" if timed else ""]
    return f"| {' | '.join(cells)} |"


def _aims(records: list[Record]) -> Iterable[str]:
    """Each aim with the least favourable figure that was measured."""
    ours = [r for r in records if r["method"] == "metacompress" and "of_copy" in r]
    forward = [r for r in ours if r["work"] == "forward" and r["launch"] == "python"]
    large = [_number(r["of_copy"]) for r in forward if _number(r["batch"]) >= 16]
    if large:
        yield f"- Aim: 80 % of the copy at batch 16 and above. Least measured: {min(large):.0%}."
    for rival, aim in (
        ("eager", "at least 3 times faster than"),
        ("compiled", "never slower than"),
    ):
        ratios = [ratio for r in forward if (ratio := _ratio(r, records, rival)) is not None]
        if ratios:
            yield f"- Aim: {aim} {rival}. Least measured: {min(ratios):.2f} times as fast."
    towers = [r for r in records if r["method"] == "vision tower" and "p50" in r]
    for tower in towers:
        mine = [r for r in ours if _same(r, tower, ("shape", "batch", "launch", "work"))]
        shares = [_number(r["p50"]) / _number(tower["p50"]) for r in mine]
        if shares:
            yield (
                "- Aim: under 1 % of the vision tower at batch 1. Most measured, launched by "
                f"{tower['launch']}: {max(shares):.2%}."
            )


def _ratio(record: Record, records: list[Record], rival: str) -> float | None:
    keys = ("shape", "batch", "form", "launch", "work")
    rivals = [r for r in records if r["method"] == rival and "p50" in r and _same(r, record, keys)]
    return _number(rivals[0]["p50"]) / _number(record["p50"]) if rivals else None


def _same(one: Record, other: Record, keys: Iterable[str]) -> bool:
    return all(one.get(key) == other.get(key) for key in keys)


def _number(value: object) -> float:
    return float(str(value))


def between(text: str, name: str, content: str) -> str:
    """The page with new content between the markers of a table.

    Raises:
        ValueError: the page has no such markers.
    """
    start, stop = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, rest = text.split(start)
    _, after = rest.split(stop)
    return f"{before}{start}{content}\n{stop}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--measured", action="store_true", help="only what was measured")
    args = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    text = between(text, "measured", measured(read_records(ROOT / "benchmarks/results")))
    text = between(text, "floor", kernel_floor.table())
    if not args.measured:
        text = between(text, "resources", resources.table())
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
