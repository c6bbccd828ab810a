import torch

from metacompress_compressor.reductions import Random, Sample, Sample2d
from metacompress_compressor.windows import Grid

GRID = Grid(6, 8)


def test_sample_is_equidistant(make_pictures, budget_of):
    x = torch.randn(2, 48, 8)
    reduced = Sample()(make_pictures(x, GRID), budget_of(GRID, 5))
    assert reduced.positions.tolist() == [[0, 12, 24, 35, 47]] * 2
    assert torch.equal(reduced.tokens, x[:, [0, 12, 24, 35, 47]])


def test_sample_2d_takes_the_middle_of_each_window(make_pictures, budget_of):
    from metacompress_compressor.reductions import Budget

    x = torch.randn(1, 48, 8)
    pictures = make_pictures(x, GRID)
    reduced = Sample2d()(pictures, Budget(pictures.layout, 0.25, "2d"))
    middles = [9, 11, 13, 15, 25, 27, 29, 31, 41, 43, 45, 47]
    assert reduced.positions.tolist() == [middles]
    assert torch.equal(reduced.tokens, x[:, middles])


def test_random_depends_on_picture_and_seed_alone(make_pictures, budget_of):
    x = torch.randn(3, 48, 8)
    budget = budget_of(GRID, 12)

    def places(tokens, seed=0):
        return Random(seed)(make_pictures(tokens, GRID), budget).positions

    assert torch.equal(places(x)[[2, 0]], places(x[[2, 0]]))
    assert not torch.equal(places(x)[0], places(x)[1])
    assert not torch.equal(places(x), places(x, seed=1))


def test_random_reaches_every_token(make_pictures, budget_of):
    x = torch.randn(60, 48, 8)
    positions = Random()(make_pictures(x, GRID), budget_of(GRID, 12)).positions
    counts = torch.bincount(positions.flatten(), minlength=48)
    assert counts.min() > 3  # 15 expected
    assert counts.max() < 30
