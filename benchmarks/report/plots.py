"""Plots of committed results: latency by load, sessions by memory, accuracy by tokens."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.report.markdown import RawRecord

_COLORS = {"full": "#475569", "metacompress 90%": "#c81e1e"}
_OTHERS = ("#1d4ed8", "#047857", "#b45309", "#7c3aed", "#0f172a")
_PLAIN = ("sample_2d", "avgpool_2d", "smaller_picture", "divprune", "visionzip")


def draw_crowds(records: Sequence[RawRecord], path: Path) -> None:
    """Time to the first token against dialogues at once, p50 to p95, first and later turns."""
    found = [record for record in records if record["cell"]["part"] == "crowds"]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, 2)
    for panel, name in zip(panels, ("ttft_first_s", "ttft_later_s"), strict=True):
        for contestant, color in _COLORS.items():
            line = [r for r in found if r["cell"]["contestant"] == contestant]
            levels = [r["cell"]["at_once"] for r in line]
            p50, p95 = ([1000 * r["metrics"][name][q] for r in line] for q in ("p50", "p95"))
            label = f"{contestant} ({line[0]['cell']['image_tokens']} tokens)"
            panel.plot(levels, p50, color=color, marker="o", label=label)
            panel.fill_between(levels, p50, p95, color=color, alpha=0.15, linewidth=0)
        panel.set(xlabel="dialogues at once", ylabel="first token, ms (p50, shaded to p95)")
        panel.set(xscale="log", xticks=levels, ylim=(0, None))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.minorticks_off()
        panel.grid(alpha=0.25)
    panels[0].set_title(f"first turn, {found[0]['cell']['model']}")
    panels[1].set_title("later turns")
    panels[0].legend()
    figure.savefig(path, dpi=110)


def draw_memory(records: Sequence[RawRecord], path: Path) -> None:
    """Sessions against KV memory: measured at one size, and the line through it.

    Of the models with the most contestants.
    """
    found = [record for record in records if record["cell"]["part"] == "memory"]
    counts = Counter(record["cell"]["model"] for record in found)
    models = [model for model, count in counts.items() if count == max(counts.values())]
    figure = Figure(figsize=(5 * len(models), 4.2), layout="constrained")
    panels = figure.subplots(1, len(models), squeeze=False)[0]
    for panel, model in zip(panels, models, strict=True):
        colors = iter(_OTHERS)
        for record in (r for r in found if r["cell"]["model"] == model):
            metrics, cell = record["metrics"], record["cell"]
            color = _COLORS.get(cell["contestant"]) or next(colors)
            memory, count = metrics["kv_memory_bytes"] / 2**20, _longest(metrics)
            label = f"{cell['contestant']} ({cell['image_tokens']})"
            panel.plot([0, 2 * memory], [0, 2 * count], color=color, linewidth=1, alpha=0.6)
            panel.plot([memory], [count], color=color, marker="o", linestyle="", label=label)
        panel.set(xlabel="KV memory, MiB", ylabel="sessions of a picture and 96 words")
        panel.set(title=model, xlim=(0, None), ylim=(0, None))
        panel.legend(fontsize=8, title="measured; lines are proportional")
        panel.grid(alpha=0.25)
    figure.savefig(path, dpi=110)


def draw_pareto(
    serving: Sequence[RawRecord], evaluation: Sequence[Mapping[str, Any]], path: Path
) -> None:
    """Accuracy against tokens: offline on held-out pictures, and as served.

    Args:
        serving: records of the matrix.
        evaluation: of `metacompress eval`, for the same model.
        path: of the PNG.
    """
    figure = Figure(figsize=(8.5, 4.8), layout="constrained")
    panel = figure.subplots()
    full = next(record for record in evaluation if record["kind"] == "full")
    panel.axhline(100 * full["accuracy"]["value"], color="black", linestyle=":", linewidth=1)
    colors = iter(_OTHERS)
    for method in ("served", *_PLAIN):
        line = [r for r in evaluation if r["method"] == method and r["positions"] == "kept"]
        line = sorted(line, key=lambda record: float(record["visual_tokens"]))
        if not line:
            continue
        tokens = [record["visual_tokens"] for record in line]
        shares = [100 * record["accuracy"]["value"] for record in line]
        ours = line[0]["kind"] == "mapping"
        color = "#c81e1e" if ours else next(colors)
        label = "metacompress" if ours else line[0]["label"]
        panel.plot(tokens, shares, color=color, marker="o", linewidth=2.4 if ours else 1.1)
        panel.plot([], [], color=color, label=f"{label}, offline")
    for record in _served(serving):
        turns = record["metrics"]["accuracy_per_turn"]
        answers = sum(turn["answers"] for turn in turns)
        share = 100 * sum(turn["value"] * turn["answers"] for turn in turns) / answers
        smaller = record["cell"]["contestant"] == "smaller picture"
        shape = {"marker": "s" if smaller else "*", "color": "#0f172a", "markersize": 9}
        panel.plot([record["cell"]["image_tokens"]], [share], linestyle="", **shape)
    panel.plot([], [], "*", color="#0f172a", label="served: all tokens, metacompress")
    panel.plot([], [], "s", color="#0f172a", label="served: smaller picture")
    panel.set(xlabel="visual tokens", ylabel="answers right, percent", xscale="log")
    panel.set_title("embedded model (dotted: all 256 tokens, offline)")
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter("{x:g}")
    panel.tick_params(axis="x", which="minor", labelsize=7)
    panel.grid(alpha=0.25)
    panel.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def _longest(metrics: Mapping[str, Any]) -> int:
    """Sessions that fit with the longest text."""
    return int(list(metrics["sessions_that_fit"].values())[-1])


def _served(records: Sequence[RawRecord]) -> list[RawRecord]:
    """Cells with right answers, of every contestant."""
    return [
        record
        for record in records
        if record["cell"]["part"] == "turns" and record["metrics"]["accuracy_per_turn"]
    ]
