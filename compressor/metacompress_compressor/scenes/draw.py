"""Paints a scene: a softly textured background with the objects' pictures on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .atlas import sprite
from .layout import BACKGROUNDS, IMAGE_SIZE, Placement, Scene

_TEXTURE_GRID = 9
_TEXTURE_STRENGTH = 10.0  # grey levels, standard deviation


def _interpolation_matrix() -> NDArray[np.float32]:
    """Rows that interpolate `_TEXTURE_GRID` support values linearly over the picture's side."""
    support = np.linspace(0, IMAGE_SIZE - 1, _TEXTURE_GRID)
    rows = [np.interp(np.arange(IMAGE_SIZE), support, unit) for unit in np.eye(_TEXTURE_GRID)]
    return np.stack(rows, axis=1).astype(np.float32)


_INTERPOLATION = _interpolation_matrix()


def _background(scene: Scene) -> NDArray[np.float32]:
    rng = np.random.default_rng(scene.texture_seed)
    base = np.asarray(BACKGROUNDS[scene.background], dtype=np.float32) + rng.normal(0, 6, 3)
    support = rng.normal(0, _TEXTURE_STRENGTH, (_TEXTURE_GRID, _TEXTURE_GRID)).astype(np.float32)
    texture = _INTERPOLATION @ support @ _INTERPOLATION.T
    return (base + texture[..., None]).astype(np.float32)


def _paste(canvas: NDArray[np.float32], item: Placement, font: Path | None) -> None:
    pixels = sprite(item.name, item.size, item.mirrored, font)
    window = canvas[item.top : item.top + item.size, item.left : item.left + item.size]
    window *= 1.0 - pixels[..., 3:]
    window += pixels[..., :3]


def draw_scene(scene: Scene, font: Path | None = None) -> NDArray[np.uint8]:
    """Paints a scene.

    Args:
        scene: What stands where.
        font: Whose pictures to take instead of the vendored ones.

    Returns:
        RGB `[IMAGE_SIZE, IMAGE_SIZE, 3]`, uint8. The same scene always gives the same pixels.
    """
    canvas = _background(scene)
    for item in scene.objects:
        _paste(canvas, item, font)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
