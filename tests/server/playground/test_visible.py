from dataclasses import astuple

import pytest

from metacompress_server.playground.visible import Box, visible_part

LLAVA = {
    "do_resize": True,
    "size": {"shortest_edge": 336},
    "do_center_crop": True,
    "crop_size": {"height": 336, "width": 336},
}
STRETCHED = {"do_resize": True, "size": {"height": 256, "width": 256}, "do_center_crop": False}


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((500, 500), Box(0.0, 0.0, 1.0, 1.0)),
        ((1000, 500), Box(0.25, 0.0, 0.5, 1.0)),
        ((300, 1200), Box(0.0, 0.375, 1.0, 0.25)),
    ],
)
def test_llavas_processor_cuts_the_longer_side(size: tuple[int, int], box: Box) -> None:
    assert astuple(visible_part(*size, LLAVA)) == pytest.approx(astuple(box))


def test_a_stretched_picture_is_seen_whole() -> None:
    assert visible_part(1000, 500, STRETCHED) == Box(0.0, 0.0, 1.0, 1.0)


def test_a_cut_larger_than_the_picture_pads_it() -> None:
    crop = {"do_center_crop": True, "crop_size": {"height": 200, "width": 200}}
    assert visible_part(100, 200, crop) == Box(-0.5, 0.0, 2.0, 1.0)
