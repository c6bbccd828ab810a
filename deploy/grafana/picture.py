"""Draws the dashboard from a Prometheus' answers, for a look at it where no Grafana is at hand.

python deploy/grafana/picture.py --url http://127.0.0.1:9090 --minutes 5 --out runs/dashboard.png
"""

import argparse
import math
import re
import time
from datetime import datetime
from pathlib import Path

import matplotlib as mpl
import prometheus_api
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from panels import HEIGHT, ROWS, Panel, Query
from prometheus_api import Series

COLUMNS = 24
CELL_IN = (0.75, 0.36)
STYLE = {
    "figure.facecolor": "#111217",
    "axes.facecolor": "#181b1f",
    "axes.edgecolor": "#2c3235",
    "axes.labelcolor": "#ccccdc",
    "axes.prop_cycle": mpl.cycler(
        color=["#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff"]
    ),
    "text.color": "#ccccdc",
    "xtick.color": "#8e8e9c",
    "ytick.color": "#8e8e9c",
    "grid.color": "#2c3235",
    "font.size": 8,
}
STEPS = 120


def main() -> None:
    """Ask for every panel and write the PNG."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:9090", help="of Prometheus")
    parser.add_argument("--minutes", type=float, default=5, help="time range up to now")
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    arguments = parser.parse_args()
    end = time.time()
    start = end - 60 * arguments.minutes
    with mpl.rc_context(STYLE):
        draw(arguments.url, start, end).savefig(arguments.out, dpi=110)
    print(arguments.out)


def draw(url: str, start: float, end: float) -> Figure:
    """The whole dashboard."""
    places, height = _places()
    figure = Figure(figsize=(COLUMNS * CELL_IN[0], height * CELL_IN[1]))
    for row, y in places:
        figure.text(0.008, 1 - (y + 0.75) / height, row.title, fontsize=12, weight="bold")
        x, top, line = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, top, line = 0, top + line, 0
            line = max(line, HEIGHT[panel.kind])
            box = (x / COLUMNS, top / height, panel.width / COLUMNS, HEIGHT[panel.kind] / height)
            _draw_panel(figure, box, panel, _answers(url, panel, start, end), (start, end))
            x += panel.width
    return figure


def _places() -> tuple[list, int]:
    """Each row with its first grid line, and how many lines there are."""
    places, y = [], 0
    for row in ROWS:
        places.append((row, y))
        x, line, y = 0, 0, y + 1
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, line = 0, y + line, 0
            line = max(line, HEIGHT[panel.kind])
            x += panel.width
        y += line
    return places, y


def _answers(url: str, panel: Panel, start: float, end: float) -> list[tuple[str, Series]]:
    step = (end - start) / STEPS
    span = f"{math.ceil(end - start)}s"
    return [
        (_legend(query, series), series)
        for query in panel.queries
        for series in prometheus_api.over_time(
            url, prometheus_api.fill(query.expr, span=span), start, end, step
        )
    ]


def _legend(query: Query, series: Series) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda name: series.labels.get(name[1], ""), query.legend)


def _draw_panel(figure: Figure, box: tuple, panel: Panel, answers: list, span: tuple) -> None:
    x, y, width, height = box
    pad = 0.004
    axes = figure.add_axes(
        (x + pad, 1 - y - height + pad / 2, width - 2 * pad, height - pad), xticks=[], yticks=[]
    )
    axes.set_title(panel.title, loc="left", fontsize=9, y=1, pad=-11, x=0.01)
    if not answers:
        axes.text(0.5, 0.45, "No data", ha="center", transform=axes.transAxes, color="#8e8e9c")
    elif panel.kind == "lines":
        inner = (x + 0.036, 1 - y - 0.78 * height, width - 0.046, 0.56 * height)
        _draw_lines(figure.add_axes(inner), panel, answers, span)
    else:
        _write_values(axes, panel, answers)


def _draw_lines(axes: Axes, panel: Panel, answers: list, span: tuple) -> None:
    if panel.stacked:
        answers = [one for one in answers if any(one[1].values)] or answers
        times = sorted({time for _, series in answers for time in series.times})
        layers = [_at(series, times) for _, series in answers]
        axes.stackplot(
            list(map(datetime.fromtimestamp, times)), layers, labels=[name for name, _ in answers]
        )
    else:
        for name, series in answers:
            axes.plot(list(map(datetime.fromtimestamp, series.times)), series.values, label=name)
    axes.set_xlim(*map(datetime.fromtimestamp, span))
    if not panel.signed:
        axes.set_ylim(bottom=0)
    axes.grid(visible=True, linewidth=0.5)
    axes.tick_params(labelsize=6)
    axes.xaxis.set_major_formatter(mpl.dates.DateFormatter("%H:%M:%S"))
    axes.xaxis.set_major_locator(mpl.dates.AutoDateLocator(minticks=3, maxticks=6))
    axes.yaxis.set_major_formatter(lambda value, _: show(value, panel.unit))
    axes.legend(loc="upper left", bbox_to_anchor=(-0.08, -0.13), ncols=8, fontsize=6, frameon=False)


def _at(series: Series, times: list[float]) -> list[float]:
    """Values at all times of the panel, 0 where the line has none."""
    known = dict(zip(series.times, series.values, strict=True))
    values = [known.get(time, 0.0) for time in times]
    return [value if math.isfinite(value) else 0.0 for value in values]


def _write_values(axes: Axes, panel: Panel, answers: list) -> None:
    for number, (name, series) in enumerate(answers):
        x = (number + 0.5) / len(answers)
        size = 10 if panel.kind == "table" else 17
        text = name if panel.kind == "table" else show(series.last, panel.unit)
        colour = "#73bf69" if panel.kind == "stat" else "#ccccdc"
        axes.text(x, 0.42, text, ha="center", transform=axes.transAxes, fontsize=size, color=colour)
        if panel.kind == "stat" and len(answers) > 1:
            axes.text(x, 0.16, name, ha="center", transform=axes.transAxes, fontsize=8)


def show(value: float, unit: str) -> str:
    """A value as Grafana writes it in this unit."""
    if not math.isfinite(value):
        return "–"
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{1000 * value:.3g} ms" if value < 1 else f"{value:.3g} s"
    if unit in ("bytes", "Bps"):
        return _scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB"], "/s" * (unit == "Bps"))
    return _scaled(value, 1000, ["", "K", "M", "G", "T"], "")


def _scaled(value: float, base: int, names: list[str], per: str) -> str:
    power = 0 if abs(value) < base else min(int(math.log(abs(value), base)), len(names) - 1)
    return f"{value / base**power:.3g} {names[power]}{per}".strip()


if __name__ == "__main__":
    main()
