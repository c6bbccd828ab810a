import random

import numpy as np

from metacompress_compressor.scenes import IMAGE_SIZE, Scene, draw_scene, sample_scene
from metacompress_compressor.scenes.layout import BACKGROUNDS


def test_same_scene_same_pixels_and_objects_are_where_they_should_be():
    scene = sample_scene(random.Random(5))
    picture = draw_scene(scene)
    assert picture.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
    assert picture.dtype == np.uint8
    assert (picture == draw_scene(scene)).all()
    empty = draw_scene(Scene(scene.background, scene.texture_seed, ()))
    changed = (picture != empty).any(axis=-1)
    inside = np.zeros_like(changed)
    for item in scene.objects:
        square = np.s_[item.top : item.top + item.size, item.left : item.left + item.size]
        inside[square] = True
        assert changed[square].mean() > 0.15
    assert not changed[~inside].any()


def test_backgrounds_are_the_nearest_of_their_names():
    for name in BACKGROUNDS:
        mean = draw_scene(Scene(name, 7, ())).reshape(-1, 3).mean(axis=0)
        nearest = min(BACKGROUNDS, key=lambda other: np.abs(mean - BACKGROUNDS[other]).sum())
        assert nearest == name
