"""The plain baselines follow their rules, and every method keeps equally many tokens."""

import pytest
import torch

from metacompress_compressor.mapping import TokenMapping
from metacompress_compressor.reductions import AveragePooling, Full, Mapped, Sample
from metacompress_compressor.windows import Grid

GRID = Grid(6, 8)


@pytest.fixture
def x():
    return torch.randn(2, 48, 8)


def test_full_is_everything(x):
    reduced = Full()(x, GRID, 0.1)
    assert reduced.tokens is x
    assert reduced.positions == tuple(range(48))


def test_sample_is_equidistant(x):
    reduced = Sample("1d")(x, GRID, 0.1)
    assert reduced.positions == (0, 12, 24, 35, 47)
    assert torch.equal(reduced.tokens, x[:, [0, 12, 24, 35, 47]])


def test_average_pooling_averages_windows(x):
    reduced = AveragePooling()(x, GRID, 0.25)
    assert reduced.positions == (9, 11, 13, 15, 25, 27, 29, 31, 41, 43, 45, 47)
    torch.testing.assert_close(reduced.tokens[:, 0], x[:, [0, 1, 8, 9]].mean(1))


@pytest.mark.parametrize("ratio", [0.05, 0.1, 0.5])
def test_every_method_keeps_as_many(x, ratio):
    mapping = TokenMapping(8, 4)
    methods = [Sample("2d"), AveragePooling(), Mapped(mapping)]
    reduced = [method(x, GRID, ratio) for method in methods]
    assert len({one.tokens.shape for one in reduced}) == 1
    assert all(len(one.positions) == one.tokens.shape[1] for one in reduced)
    torch.testing.assert_close(reduced[2].tokens, mapping(x, GRID, ratio))
