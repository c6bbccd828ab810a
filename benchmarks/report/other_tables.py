"""Tables of the other benchmarks' records."""

from collections.abc import Sequence
from typing import Any

from benchmarks.capacity import tables as capacity_tables
from benchmarks.records import Record
from benchmarks.report.markdown import RawRecord, milliseconds, percent, ratio, table


def sessions(records: Sequence[RawRecord]) -> str:
    """Time to the first token of a returning turn, by where its tokens were found."""
    metrics = records[-1]["metrics"]
    rows = [
        [phase, milliseconds(times), f"{metrics['ratio_to_nothing'][phase]['p50']:.2f}"]
        for phase, times in metrics["ttft_s"].items()
    ]
    return table(["found in", "first token, p50 ms", "of nothing"], rows)


def overload(records: Sequence[RawRecord]) -> str:
    """Twice the load that a server carries."""
    rows = []
    for record in records:
        metrics = record["metrics"]
        latency, statuses = metrics["latency_s"], metrics["statuses"]
        rows.append(
            [
                f"{metrics['seconds']:.0f} s",
                f"{metrics['capacity_per_s']:.1f}",
                f"{metrics['offered_per_s']:.1f}",
                f"{metrics['accepted_per_s']:.1f}",
                ", ".join(f"{count} x {status}" for status, count in statuses.items()),
                f"{latency['p50']:.2f}, {latency['p95']:.2f}, {latency['max']:.2f}",
                f"{latency['p50_middle']:.2f}, {latency['p50_last']:.2f}",
            ]
        )
    heads = ["capacity/s", "offered/s", "carried/s", "answers", "p50, p95, longest, s"]
    return table(["for", *heads, "p50 of the middle and last third, s"], rows)


def profile(records: Sequence[RawRecord]) -> str:
    """What the costs that were removed were worth: after as a ratio to before."""
    rows = []
    for record in records:
        ratios: dict[str, Any] | None = record["metrics"].get("ratio")
        if ratios:
            about = [record["cell"]["change"], f"{record['cell']['part']} pictures"]
            rows.append([*about, *[ratio(ratios[name]) for name in _PROFILED]])
    return table(["change", "load", *_PROFILED.values()], rows)


def capacity(records: Sequence[RawRecord]) -> str:
    """Sessions as predicted and as measured."""
    return capacity_tables.check_table(_parsed(records))


def outsiders(records: Sequence[RawRecord]) -> str:
    """The same server measured by other people's tools."""
    return capacity_tables.outsiders_table(_parsed(records))


def gpu_profile(records: Sequence[RawRecord]) -> str:
    """The paper's efficiency table."""
    return capacity_tables.profile_table(_parsed(records))


def served_accuracy(records: Sequence[RawRecord]) -> str:
    """Answers through the server beside the offline evaluation's."""
    rows = []
    for record in records:
        cell, metrics = record["cell"], record["metrics"]
        if cell["source"] == "server":
            rows.append(
                [
                    cell["method"],
                    f"{cell['tokens']:g}",
                    *[percent(metrics[name]["value"]) for name in _RIGHT],
                    f"{metrics['answers_differing']} of {metrics['answers']}",
                ]
            )
    return table(["", "tokens", "right, served", "right, offline", "answers that differ"], rows)


def _parsed(records: Sequence[RawRecord]) -> list[Record]:
    return [Record(**record) for record in records]


_RIGHT = ("accuracy", "accuracy_offline")
_PROFILED = {
    "ttft_first": "first token, first turn",
    "ttft_later": "first token, later turns",
    "total_later": "whole later turn",
    "turns_per_s": "turns/s",
}


def generic(records: Sequence[RawRecord]) -> str:
    """A benchmark without a table of its own: its cells, and every figure of a first level."""
    rows = []
    for record in records:
        cell = ", ".join(f"{name} {value}" for name, value in record["cell"].items())
        rows.append([cell, ", ".join(_figures(record["metrics"]))])
    return table(["cell", "metrics"], rows)


def _figures(metrics: Any) -> list[str]:
    found = []
    for name, value in metrics.items():
        if isinstance(value, dict) and "value" in value:
            found.append(f"{name} {_short(value['value'])}")
        elif isinstance(value, dict) and "p50" in value:
            found.append(f"{name} p50 {_short(value['p50'])}")
        elif isinstance(value, int | float):
            found.append(f"{name} {_short(value)}")
    return found


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
