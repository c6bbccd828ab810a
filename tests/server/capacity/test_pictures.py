import pytest

from metacompress_server.capacity.pictures import NativeSize, OneGrid, Tiles
from metacompress_server.capacity.published import PUBLISHED

QWEN = NativeSize(14, 2, 56 * 56, 16384 * 28 * 28)


def test_llava_1_5_brings_every_picture_to_one_size() -> None:
    rule = OneGrid(336, 14)
    for sides in ((10, 4000), (336, 336)):
        assert rule.layout(*sides).num_tokens == 576
        assert rule.tower_lengths(*sides) == [577]


def test_llava_next_cuts_tiles() -> None:
    rule = PUBLISHED["llava-next-7b"].pictures
    assert isinstance(rule, Tiles)
    assert rule.layout(672, 672).num_tokens == 576 + 48 * 48 + 48
    assert rule.tower_lengths(672, 672) == [577] * 5
    assert rule.tower_lengths(1000, 300) == [577] * 4


@pytest.mark.parametrize(
    ("sides", "grid"),
    [((1280, 720), (26, 46)), ((28, 28), (2, 2)), ((10, 10), (2, 2)), ((56, 84), (3, 2))],
)
def test_qwen_keeps_the_pictures_own_size(sides: tuple[int, int], grid: tuple[int, int]) -> None:
    (part,) = QWEN.layout(*sides).parts
    assert (part.grid.rows, part.grid.cols) == grid
    assert QWEN.tower_lengths(*sides) == [4 * grid[0] * grid[1]]


def test_qwen_shrinks_what_is_too_large() -> None:
    small = NativeSize(14, 2, 56 * 56, 100 * 28 * 28)
    assert small.layout(4000, 1000).num_tokens <= 100


def test_qwens_rule_is_that_of_transformers() -> None:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    for width, height in ((1280, 720), (333, 517), (5000, 4900), (40, 300), (30, 30)):
        rows, cols = (side // 28 for side in smart_resize(height, width, 28, QWEN.least, QWEN.most))
        (part,) = QWEN.layout(width, height).parts
        assert (part.grid.rows, part.grid.cols) == (rows, cols), (width, height)
