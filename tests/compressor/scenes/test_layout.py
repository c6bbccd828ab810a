import random

import pytest

from metacompress_compressor.scenes.layout import (
    BIG_SIZES,
    BOARD,
    CELL_NAMES,
    IMAGE_SIZE,
    MAX_OBJECTS,
    MIN_OBJECTS,
    SMALL_SIZES,
    Placement,
    Scene,
    sample_scene,
)


def _scene(*cells: tuple[int, str]) -> Scene:
    placements = (Placement(name, cell, False, 0, 0, 44, False) for cell, name in cells)
    return Scene("gray", 0, tuple(placements))


@pytest.mark.parametrize("seed", range(50))
def test_sampled_scene_keeps_its_promises(seed):
    scene = sample_scene(random.Random(seed))
    assert MIN_OBJECTS <= len(scene.objects) <= MAX_OBJECTS
    assert len({item.name for item in scene.objects}) == len(scene.objects)
    assert len({item.cell for item in scene.objects}) == len(scene.objects)
    for item in scene.objects:
        low, high = BIG_SIZES if item.big else SMALL_SIZES
        assert low <= item.size <= high
        assert 0 <= item.left <= IMAGE_SIZE - item.size
        assert 0 <= item.top <= IMAGE_SIZE - item.size
        x, y = item.center
        assert item.cell == int(y * BOARD / IMAGE_SIZE) * BOARD + int(x * BOARD / IMAGE_SIZE)


def test_neighbours_stop_at_the_edge_and_at_empty_cells():
    scene = _scene((0, "fox"), (1, "owl"), (3, "car"), (8, "key"))
    fox = scene.find("fox")
    assert fox is not None
    assert scene.neighbour(fox, "to the right of").name == "owl"
    assert scene.neighbour(fox, "below").name == "car"
    assert scene.neighbour(fox, "above") is None
    assert scene.neighbour(fox, "to the left of") is None
    key = scene.find("key")
    assert key is not None
    assert scene.neighbour(key, "to the left of") is None
    # Right of the last column is not the first column of the next row.
    assert _scene((2, "fox"), (3, "car")).neighbour(
        Placement("fox", 2, False, 0, 0, 44, False), "to the right of"
    ) is None  # fmt: skip


def test_lookups_and_counts():
    scene = _scene((0, "fox"), (4, "owl"), (8, "pizza"))
    assert scene.at(4).name == "owl"
    assert scene.at(5) is None
    assert scene.find("car") is None
    assert scene.count("animals") == 2
    assert scene.count("tools") == 0
    assert len(CELL_NAMES) == BOARD * BOARD
