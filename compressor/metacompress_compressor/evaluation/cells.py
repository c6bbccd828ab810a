"""How tables write numbers: percent, intervals, ranges, rows."""

from collections.abc import Mapping, Sequence
from typing import Any


def percent(estimate: Mapping[str, Any]) -> str:
    """`93.0` for an estimate of 0.93, a dash where there is none."""
    return "–" if estimate["value"] is None else f"{100 * estimate['value']:.1f}"


def mean_and_range(shares: Sequence[float]) -> str:
    """`93.0 (92.0 to 94.0)`: mean, lowest and highest."""
    mean = sum(shares) / len(shares)
    return f"{100 * mean:.1f} ({100 * min(shares):.1f} to {100 * max(shares):.1f})"


def with_interval(estimate: Mapping[str, Any], *, sign: bool = False) -> str:
    """`93.0 (92.0 to 94.0)`: value and interval, with `sign` as a difference."""
    low, high = (f"{100 * bound:.1f}" for bound in estimate["ci95"])
    value = 100 * estimate["value"]
    return f"{value:+.1f} ({low} to {high})" if sign else f"{value:.1f} ({low} to {high})"


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of text under heads, all but the first column to the right."""
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, rule, *rows])
