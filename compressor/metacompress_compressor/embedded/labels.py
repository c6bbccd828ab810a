"""What every patch of a scene shows: the tower's targets, the language stage's symbols."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from metacompress_compressor.scenes import OBJECTS, Scene
from metacompress_compressor.scenes.layout import BACKGROUNDS, BOARD

from .architecture import GRID, NUM_VISUAL_TOKENS, PATCH_SIZE

#: Column of a label -> number of classes. Class 0 means "no object" in object, cell and size.
LABELS: Final = {
    "object": len(OBJECTS) + 1,
    "cell": BOARD * BOARD + 1,
    "size": 3,
    "middle": 2,
    "background": len(BACKGROUNDS),
}
_OBJECT_INDEX: Final = {name: index + 1 for index, name in enumerate(OBJECTS)}
_BACKGROUND_INDEX: Final = {name: index for index, name in enumerate(BACKGROUNDS)}
#: A patch belongs to an object if its middle lies within this share of the object's side.
_REACH: Final = 0.45

_AXIS = (np.arange(GRID) + 0.5) * PATCH_SIZE
_PATCH_X, _PATCH_Y = (axis.ravel() for axis in np.meshgrid(_AXIS, _AXIS))


def patch_labels(scene: Scene) -> NDArray[np.int64]:
    """Labels of the patches in row-major order.

    Returns:
        `[NUM_VISUAL_TOKENS, len(LABELS)]`, int64, columns as in `LABELS`. "middle" is 1 for exactly
        one patch of every object.
    """
    labels = np.zeros((NUM_VISUAL_TOKENS, len(LABELS)), dtype=np.int64)
    labels[:, 4] = _BACKGROUND_INDEX[scene.background]
    for item in scene.objects:
        x, y = item.center
        distance = np.hypot(_PATCH_X - x, _PATCH_Y - y)
        labels[distance <= _REACH * item.size, :3] = (
            _OBJECT_INDEX[item.name],
            item.cell + 1,
            2 if item.big else 1,
        )
        labels[distance.argmin(), 3] = 1
    return labels
