"""What every method owes: exactly m tokens in the picture's order, the same bits every time."""

import pytest
import torch

from metacompress_compressor.adapters import load_adapter
from metacompress_compressor.layout import PictureLayout
from metacompress_compressor.mapping import TokenMapping
from metacompress_compressor.reductions import (
    AvgPool1d,
    AvgPool2d,
    Budget,
    DivPrune,
    Full,
    Mapped,
    PictureBatch,
    PruMerge,
    PruMergePlus,
    Random,
    Sample,
    Sample2d,
    Selector,
    SmallerPicture,
    ToMe,
    VisionZip,
    VisPruner,
)
from metacompress_compressor.reductions.selector import TokenScorer
from metacompress_compressor.windows import Grid

SELECTING = [Random(), Sample(), Sample2d(), DivPrune(), VisPruner()]
MERGING = [AvgPool1d(), AvgPool2d(), ToMe(), PruMerge(), PruMergePlus(), VisionZip()]
PLAIN = [*SELECTING, *MERGING]
names = pytest.mark.parametrize("method", PLAIN, ids=lambda method: method.name)


@pytest.fixture(scope="module")
def pictures(tiny_llava):
    from PIL import Image

    adapter = load_adapter(tiny_llava)
    images = [Image.effect_noise((40, 30), 80).convert("RGB") for _ in range(3)]
    tokens = adapter.visual_tokens(images)
    return PictureBatch(tokens, PictureLayout.of_grid(Grid(4, 4)), adapter, lambda: images)


def reduce(method, pictures, ratio):
    return method(pictures, Budget(pictures.layout, ratio, method.windows or "2d"))


@pytest.mark.parametrize("ratio", [1 / 16, 0.25, 0.4, 0.6, 15 / 16])
@pytest.mark.parametrize(
    "method",
    [*PLAIN, SmallerPicture(), Selector(TokenScorer(32, 8)), Mapped(TokenMapping(32, 8))],
    ids=lambda method: method.name,
)
def test_exactly_m_tokens_in_order(pictures, method, ratio):
    budget = Budget(pictures.layout, ratio, "2d")
    reduced = method(pictures, budget)
    m = budget.num_tokens
    assert reduced.tokens.shape == (3, m, 32)
    assert reduced.positions.shape == (3, m)
    assert (reduced.positions.diff(dim=1) >= 0).all()
    assert reduced.positions.min() >= 0
    assert reduced.positions.max() < 16
    assert reduced.tokens.isfinite().all()


@names
def test_the_same_bits_every_time(pictures, method):
    first, second = reduce(method, pictures, 0.4), reduce(method, pictures, 0.4)
    assert torch.equal(first.tokens, second.tokens)
    assert torch.equal(first.positions, second.positions)


@names
def test_other_pictures_in_the_batch_change_nothing(pictures, method):
    together = reduce(method, pictures, 0.4)
    one = PictureBatch(
        pictures.tokens[1:2], pictures.layout, pictures._adapter, lambda: pictures._load()[1:2]
    )
    alone = reduce(method, one, 0.4)
    assert torch.equal(together.positions[1:2], alone.positions)
    torch.testing.assert_close(together.tokens[1:2], alone.tokens)


@pytest.mark.parametrize("method", SELECTING, ids=lambda method: method.name)
def test_selected_tokens_are_the_pictures_own(pictures, method):
    reduced = reduce(method, pictures, 0.4)
    for tokens, positions, picture in zip(
        reduced.tokens, reduced.positions, pictures.tokens, strict=True
    ):
        assert len(set(positions.tolist())) == len(positions)
        assert torch.equal(tokens, picture[positions])


@pytest.mark.parametrize(
    "method",
    [
        Full(),
        *SELECTING,
        AvgPool1d(),
        AvgPool2d(),
        ToMe(),
        VisionZip(),
        Mapped(TokenMapping(32, 8)),
    ],
    ids=lambda method: method.name,
)
def test_with_m_equal_to_n_nothing_changes(pictures, method):
    """PruMerge is left out: it always spends one token on the rest."""
    reduced = reduce(method, pictures, 1.0)
    torch.testing.assert_close(reduced.tokens, pictures.tokens)
    assert reduced.positions.tolist() == [list(range(16))] * 3


def test_smaller_picture_is_the_tower_on_fewer_patches(pictures):
    reduced = reduce(SmallerPicture(), pictures, 0.25)
    expected = pictures._adapter.visual_tokens_at(pictures._load(), Grid(2, 2))
    torch.testing.assert_close(reduced.tokens, expected)
    assert reduced.positions[0].tolist() == [5, 7, 13, 15]


def test_mapped_is_the_mapping(pictures):
    mapping = TokenMapping(32, 8)
    reduced = reduce(Mapped(mapping), pictures, 0.25)
    torch.testing.assert_close(reduced.tokens, mapping(pictures.tokens, Grid(4, 4), 0.25))
    assert reduced.positions[0].tolist() == [5, 7, 13, 15]


def test_what_needs_the_tower_says_so_without_one(pictures):
    bare = PictureBatch(pictures.tokens, pictures.layout)
    with pytest.raises(ValueError, match="without their model"):
        reduce(ToMe(), bare, 0.5)
