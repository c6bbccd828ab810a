"""Writes the tables of docs/kernels.md: what was measured, the floor, what the kernels take.

    python -m benchmarks.kernels_page            # rewrites the page between its markers
    python -m benchmarks.kernels_page --measured # all but what needs the compiler, at once

Measurements are the lines of benchmarks/results/kernels-*.jsonl; without any, the page says so.
"""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import kernel_floor
from benchmarks.records import RESULTS, ROOT, Record, read
from metacompress_kernels import resources

PAGE = ROOT / "docs/kernels.md"
FLOORS = {
    "floor": kernel_floor.table,
    "parts": kernel_floor.parts_table,
    "orders": kernel_floor.orders_table,
    "key dim": kernel_floor.key_dim_table,
}
NOT_MEASURED = "*Not measured yet: no GPU has run `make test-gpu` so far.*"


def read_records(folder: Path) -> list[Record]:
    """Records of all runs on GPUs, files by name."""
    return [record for path in sorted(folder.glob("kernels-*.jsonl")) for record in read(path)]


def measured(records: list[Record]) -> str:
    """A table for each device, and the aims beside what was reached; or that there is nothing."""
    if not records:
        return NOT_MEASURED
    return "\n\n".join(
        _of_device([record for record in records if _device(record) == device])
        for device in sorted({_device(record) for record in records})
    )


def _device(record: Record) -> str:
    return str(record.provenance["hardware"]["device"])


def _of_device(records: list[Record]) -> str:
    origin, first = records[0].provenance, records[0]
    lines = [
        f"{_device(first)}, {first.cell['dtype']}, torch {origin['versions']['torch']}, "
        f"triton {origin['versions']['triton']}, commit {origin['commit']}, "
        f"{origin['when'][:10]}, device copy {first.metrics['copy_bytes_per_s'] / 1e9:,.0f} GB/s.",
        "",
        "| shape | batch | form | method | launch | work | µs (p20 to p80) | GB/s | of copy |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(record.cell, record.metrics) for record in records]
    lines += ["", *_aims(records)]
    return "\n".join(lines)


def _row(cell: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    names = ("shape", "batch", "form", "method", "launch", "work")
    cells = [str(cell.get(name, "")) for name in names]
    if metrics["time_s"] is None:
        cells += [cell["refused"], "", ""]
    else:
        p20, p50, p80 = (metrics["time_s"][name] * 1e6 for name in ("p20", "p50", "p80"))
        cells.append(f"{p50:,.1f} ({p20:,.1f} to {p80:,.1f})")
        rated = "bytes_per_s" in metrics
        cells.append(f"{metrics['bytes_per_s'] / 1e9:,.0f}" if rated else "")
        cells.append(f"{metrics['share_of_copy']:.0%}" if rated else "")
    return f"| {' | '.join(cells)} |"


def _aims(records: list[Record]) -> Iterable[str]:
    """Each aim with the least favourable figure that was measured."""
    timed = [record for record in records if record.metrics["time_s"] is not None]
    ours = [record for record in timed if record.cell["method"] == "metacompress"]
    forward = [r for r in ours if r.cell["work"] == "forward" and r.cell["launch"] == "python"]
    large = [r.metrics["share_of_copy"] for r in forward if r.cell["batch"] >= 16]
    if large:
        yield f"- Aim: 80 % of the copy at batch 16 and above. Least measured: {min(large):.0%}."
    for rival, aim in (
        ("eager", "at least 3 times faster than"),
        ("compiled", "never slower than"),
    ):
        ratios = [ratio for r in forward if (ratio := _ratio(r, timed, rival)) is not None]
        if ratios:
            yield f"- Aim: {aim} {rival}. Least measured: {min(ratios):.2f} times as fast."
    for tower in [record for record in timed if record.cell["method"] == "vision tower"]:
        mine = [r for r in ours if _same(r, tower, ("shape", "batch", "launch", "work"))]
        shares = [_median(record) / _median(tower) for record in mine]
        if shares:
            yield (
                "- Aim: under 1 % of the vision tower at batch 1. Most measured, launched by "
                f"{tower.cell['launch']}: {max(shares):.2%}."
            )


def _ratio(record: Record, timed: list[Record], rival: str) -> float | None:
    keys = ("shape", "batch", "form", "launch", "work")
    rivals = [r for r in timed if r.cell["method"] == rival and _same(r, record, keys)]
    return _median(rivals[0]) / _median(record) if rivals else None


def _same(one: Record, other: Record, keys: Iterable[str]) -> bool:
    return all(one.cell.get(key) == other.cell.get(key) for key in keys)


def _median(record: Record) -> float:
    return float(record.metrics["time_s"]["p50"])


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
    text = between(text, "measured", measured(read_records(RESULTS)))
    for name, table in FLOORS.items():
        text = between(text, name, table())
    if not args.measured:
        text = between(text, "resources", resources.table())
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
