"""Plots of an evaluation: accuracy against tokens kept, and turn by turn."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Record = Mapping[str, Any]

_MARKERS = "osv^D<>pPXhd*"
_LINES = ("-", "--", "-.")  # for more mappings than colours
_BASELINES = (
    "#7f7f7f", "#8c564b", "#bcbd22", "#ff7f0e", "#ffbb78", "#2ca02c", "#98df8a", "#17becf",
    "#9edae5", "#9467bd", "#c5b0d5", "#e377c2", "#1f2937", "#aec7e8",
)  # fmt: skip
_MAPPINGS = ("#c81e1e", "#1d4ed8", "#047857", "#b45309", "#7c3aed", "#0f172a")


def draw_accuracy(records: Sequence[Record], path: Path) -> None:
    """Write accuracy against tokens kept, one panel for each rule of positions.

    Args:
        records: of an evaluation.
        path: of the PNG.
    """
    rules = [r for r in ("kept", "contiguous") if any(_is(record, r) for record in records)]
    figure = Figure(figsize=(6 * len(rules) + 2.5, 5.5), layout="constrained")
    panels = figure.subplots(1, len(rules), sharey=True, squeeze=False)[0]
    styles = _styles(records)
    full = next(record for record in records if record["kind"] == "full")
    for panel, rule in zip(panels, rules, strict=True):
        panel.axhline(100 * full["accuracy"]["value"], color="black", linestyle=":", linewidth=1)
        for name, style in styles.items():
            _draw_line(
                panel, [r for r in records if _is(r, rule) and _line(r) == name], name, style
            )
        panel.set(title=f"{rule} positions", xlabel="visual tokens kept", xscale="log")
        panel.grid(alpha=0.25)
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter("{x:g}")
        panel.tick_params(axis="x", which="minor", labelsize=7)
    panels[0].set_ylabel("accuracy in percent")
    lines, labels = panels[0].get_legend_handles_labels()
    title = f"full, {full['visual_tokens']:g} tokens: dotted"
    figure.legend(lines, labels, loc="outside right upper", fontsize=8, title=title)
    figure.savefig(path, dpi=120)


def draw_turns(records: Sequence[Record], retention_ratio: float, path: Path) -> None:
    """Write accuracy turn by turn at one budget, each method with its better rule of positions.

    Args:
        records: of an evaluation.
        retention_ratio: the budget.
        path: of the PNG.
    """
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    panel = figure.subplots()
    full = next(record for record in records if record["kind"] == "full")
    turns = range(1, len(full["per_turn"]) + 1)
    shares = [100 * turn["value"] for turn in full["per_turn"]]
    panel.plot(turns, shares, color="black", linestyle=":", label="full")
    for name, style in _styles(records).items():
        rivals = [
            r for r in records if _line(r) == name and r["retention_ratio"] == retention_ratio
        ]
        if not rivals:
            continue
        best = max(rivals, key=lambda record: record["accuracy"]["value"])
        values = [100 * turn["value"] for turn in best["per_turn"]]
        panel.plot(turns, values, label=f"{name} ({best['visual_tokens']:g})", **style)
        if best["kind"] == "mapping":
            _fill_interval(panel, list(turns), best["per_turn"], style["color"])
    panel.set(xlabel="turn", ylabel="accuracy in percent", xticks=list(turns))
    panel.set_title(f"about {retention_ratio:.0%} of the visual tokens")
    panel.grid(alpha=0.25)
    figure.legend(loc="outside right upper", fontsize=8, title="method (tokens)")
    figure.savefig(path, dpi=120)


def _draw_line(panel: Axes, records: Sequence[Record], name: str, style: dict[str, Any]) -> None:
    ordered = sorted(records, key=lambda record: record["visual_tokens"])
    tokens = [record["visual_tokens"] for record in ordered]
    panel.plot(tokens, [100 * r["accuracy"]["value"] for r in ordered], label=name, **style)
    if ordered and ordered[0]["kind"] == "mapping":
        _fill_interval(panel, tokens, [r["accuracy"] for r in ordered], style["color"])


def _fill_interval(
    panel: Axes, places: Sequence[float], estimates: Sequence[Record], color: str
) -> None:
    low, high = ([100 * e["ci95"][side] for e in estimates] for side in (0, 1))
    panel.fill_between(places, low, high, color=color, alpha=0.12, linewidth=0)


def _styles(records: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """Mappings stand out; baselines are thin."""
    styles: dict[str, dict[str, Any]] = {}
    mappings = baselines = 0
    for record in records:
        name = _line(record)
        if record["kind"] == "full" or name in styles:
            continue
        if record["kind"] == "mapping":
            color = _MAPPINGS[mappings % len(_MAPPINGS)]
            line = _LINES[mappings // len(_MAPPINGS) % len(_LINES)]
            styles[name] = {"color": color, "linestyle": line, "linewidth": 2.4, "marker": "o"}
            mappings += 1
        else:
            marker = _MARKERS[baselines % len(_MARKERS)]
            shade = _BASELINES[baselines % len(_BASELINES)]
            styles[name] = {"color": shade, "linewidth": 1.1, "marker": marker, "markersize": 4}
            baselines += 1
    return styles


def _line(record: Record) -> str:
    if record["method"] == "sample" and record["windows"] == "1d":
        return f"{record['label']}, 1-D budget"
    return str(record["label"])


def _is(record: Record, rule: str) -> bool:
    return bool(record["kind"] != "full" and record["positions"] == rule)
