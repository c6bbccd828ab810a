import random

import pytest

from metacompress_compressor.embedded.architecture import GRID, PATCH_SIZE
from metacompress_compressor.embedded.labels import LABELS, patch_labels
from metacompress_compressor.scenes import OBJECTS, sample_scene


@pytest.mark.parametrize("seed", range(20))
def test_labels_say_what_stands_where(seed):
    scene = sample_scene(random.Random(seed))
    labels = patch_labels(scene)
    assert labels.shape == (GRID * GRID, len(LABELS))
    assert (labels.min(axis=0) >= 0).all()
    assert (labels.max(axis=0) < list(LABELS.values())).all()
    assert labels[:, 3].sum() == len(scene.objects)
    names = ["", *OBJECTS]
    shown = {(names[row[0]], row[1] - 1, row[2] == 2) for row in labels if row[0]}
    assert shown == {(item.name, item.cell, item.big) for item in scene.objects}
    for index in labels[:, 0].nonzero()[0]:
        row, column = divmod(int(index), GRID)
        item = scene.find(names[labels[index, 0]])
        assert item is not None
        assert item.left <= (column + 0.5) * PATCH_SIZE <= item.left + item.size
        assert item.top <= (row + 0.5) * PATCH_SIZE <= item.top + item.size
