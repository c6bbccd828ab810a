"""Draws the losses of a run as a PNG, one panel for each."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

_PANELS = ("kl", "entropy", "column")
_WIDTH, _HEIGHT = 720, 200
_LEFT, _TOP, _MARGIN = 70, 28, 14
_INK, _FAINT, _LINE = (40, 40, 40), (215, 215, 215), (20, 100, 180)


def draw_curve(history: Sequence[dict[str, float]], path: Path) -> None:
    """Write the KL divergence, row entropy and column maximum of each step to `path`.

    Args:
        history: one record for each step, at least one.
        path: of the PNG.
    """
    picture = Image.new("RGB", (_WIDTH, _HEIGHT * len(_PANELS)), "white")
    draw = ImageDraw.Draw(picture)
    for number, name in enumerate(_PANELS):
        _draw_panel(draw, number * _HEIGHT, name, [record[name] for record in history])
    picture.save(path)


def _draw_panel(draw: ImageDraw.ImageDraw, top: int, name: str, values: list[float]) -> None:
    low, high = min(0.0, *values), max(values)
    high = high if high > low else low + 1.0
    plot_top, plot_bottom = top + _TOP, top + _HEIGHT - _MARGIN

    def y_of(value: float) -> float:
        return plot_bottom - (value - low) / (high - low) * (plot_bottom - plot_top)

    for value in (low, (low + high) / 2, high):
        draw.line([(_LEFT, y_of(value)), (_WIDTH - _MARGIN, y_of(value))], fill=_FAINT)
        draw.text((8, y_of(value) - 6), f"{value:.3g}", fill=_INK)
    draw.text((_LEFT, top + 8), f"{name}, last {values[-1]:.4g}, step {len(values)}", fill=_INK)

    spread = (_WIDTH - _MARGIN - _LEFT) / max(1, len(values) - 1)
    points = [(_LEFT + step * spread, y_of(value)) for step, value in enumerate(values)]
    draw.line(points * 2 if len(points) == 1 else points, fill=_LINE, width=2)
