"""Plots of the capacity model: sessions against the kept share, by model and by GPU."""

from dataclasses import replace
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.capacity.cases import DIALOGUE, MODELS, ONE_MODEL, TURNS, plan
from metacompress_server.capacity.estimate import Plan
from metacompress_server.capacity.published import PUBLISHED

_TICKS = [1, 0.5, 0.3, 0.2, 0.1, 0.05]
_LENGTHS = (
    ("llava-1.5-7b", "LLaVA-1.5, n = 576", "#c81e1e"),
    ("qwen2.5-vl-7b", "Qwen2.5-VL, n = 1,564", "#0f172a"),
    ("llava-next-7b", "LLaVA-NeXT, n = 2,340", "#047857"),
)
_COLOURS = ("#c81e1e", "#1d4ed8", "#047857", "#b45309", "#7c3aed", "#0f172a", "#0e7490")


def draw_models(path: Path) -> None:
    """Write sessions of several models by kept share, and what a tenth is worth by text."""
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for case, colour in zip(MODELS, _COLOURS, strict=True):
        style = "-" if PUBLISHED[case.model].served else "--"
        shares, sessions = _line(plan(case))
        label = f"{case.model}, {case.hardware}"
        left.plot(shares, sessions, style, color=colour, marker="o", markersize=3, label=label)
    for name, tokens, colour in _LENGTHS:
        case = next(case for case in MODELS if case.model == name)
        found = [plan(case, [0.1], replace(DIALOGUE, turns=turns)) for turns in TURNS]
        text = [one.dialogue.text_tokens for one in found]
        times = [one.estimates[1].sessions / one.estimates[0].sessions for one in found]
        right.plot(text, times, color=colour, marker="o", markersize=3, label=tokens)
    left.set(ylabel="sessions in the KV cache", yscale="log")
    _share_axis(left)
    right.set(ylabel="times the sessions, at a tenth", xlabel="tokens of text in a session")
    right.set(xscale="log", xticks=[100, 200, 500, 1000, 3000])
    right.xaxis.set_major_formatter("{x:g}")
    right.xaxis.set_minor_formatter("")
    right.grid(alpha=0.25)
    right.legend(fontsize=8)
    _legend(figure, left, "dashed: not served by metacompress yet")
    figure.savefig(path, dpi=110)


def draw_gpus(path: Path) -> None:
    """Write sessions of LLaVA-1.5-7B on several GPUs."""
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    for case, colour in zip(ONE_MODEL, _COLOURS, strict=False):
        shares, sessions = _line(plan(case))
        axes.plot(shares, sessions, color=colour, marker="o", markersize=3, label=case.gpu)
    axes.set(ylabel="sessions in the KV cache", yscale="log")
    _share_axis(axes)
    _legend(figure, axes, "llava-1.5-7b")
    figure.savefig(path, dpi=110)


def _line(found: Plan) -> tuple[list[float], list[int]]:
    shares = [
        estimate.cost.num_compressed_tokens / estimate.cost.num_visual_tokens
        for estimate in found.estimates
    ]
    return shares, [estimate.sessions for estimate in found.estimates]


def _share_axis(panel: Axes) -> None:
    panel.set(xlabel="kept share of the visual tokens, m / n", xscale="log", xticks=_TICKS)
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter("")
    panel.invert_xaxis()
    panel.grid(alpha=0.25)


def _legend(figure: Figure, panel: Axes, title: str) -> None:
    lines, labels = panel.get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=3, fontsize=8, title=title)
