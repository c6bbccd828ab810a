"""Figures of records as they stand in a Markdown table."""

from collections.abc import Mapping, Sequence
from typing import Any

NONE = "–"

RawRecord = Mapping[str, Any]
"""A record as its line of JSON has it."""


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, all others to the right."""
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, rule, *rows])


def milliseconds(found: Mapping[str, float] | None, name: str = "p50") -> str:
    """A quantile in whole milliseconds."""
    return NONE if not found else f"{1000 * found[name]:,.0f}"


def ratio(found: Mapping[str, Any] | None) -> str:
    """A paired ratio and its interval."""
    if not found:
        return NONE
    low, high = found["ci95"]
    return f"{found['value']:.2f} ({low:.2f} to {high:.2f})"


def inverse(found: Mapping[str, Any] | None) -> str:
    """How many times less, from a paired ratio below 1, with its interval."""
    if not found:
        return NONE
    low, high = found["ci95"]
    digits = 1 if found["value"] < 0.5 else 2
    value, least, most = (f"{1 / one:.{digits}f}" for one in (found["value"], high, low))
    return f"{value} times ({least} to {most})"


def percent(value: float | None) -> str:
    """A share."""
    return NONE if value is None else f"{100 * value:.1f} %"


def mebibytes(value: float) -> str:
    """Bytes."""
    return f"{value / 2**20:.2f}"


def origin(records: Sequence[RawRecord]) -> str:
    """Hardware, versions, commit, command and dates, one line each where they agree."""
    first = records[0]["provenance"]
    times = [str(one["provenance"]["when"]) for one in records if one["provenance"]["when"]]
    when = " to ".join(_minute(time) for time in (min(times), max(times))) if times else "no time"
    hardware = ", ".join(f"{name} {value}" for name, value in first["hardware"].items())
    versions = ", ".join(f"{name} {value}" for name, value in first["versions"].items())
    commands = ", ".join(dict.fromkeys(f"`{one['provenance']['command']}`" for one in records))
    commits = ", ".join(dict.fromkeys(str(one["provenance"]["commit"]) for one in records))
    return (
        f"{commands}: {len(records)} records, {when} UTC. {hardware}; {versions}; commit {commits}."
    )


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")
