import torch

from metacompress_compressor.layout import Part, PictureLayout
from metacompress_compressor.reductions import AvgPool1d, AvgPool2d, Budget, PictureBatch
from metacompress_compressor.windows import Grid

GRID = Grid(6, 8)


def test_2d_averages_rectangles(make_pictures):
    x = torch.randn(2, 48, 8)
    pictures = make_pictures(x, GRID)
    reduced = AvgPool2d()(pictures, Budget(pictures.layout, 0.25, "2d"))
    middles = [9, 11, 13, 15, 25, 27, 29, 31, 41, 43, 45, 47]
    assert reduced.positions.tolist() == [middles] * 2
    torch.testing.assert_close(reduced.tokens[:, 0], x[:, [0, 1, 8, 9]].mean(1))


def test_1d_averages_runs(make_pictures, budget_of):
    x = torch.randn(2, 48, 8)
    reduced = AvgPool1d()(make_pictures(x, GRID), budget_of(GRID, 12))
    torch.testing.assert_close(reduced.tokens[:, 3], x[:, 12:16].mean(1))
    assert reduced.positions[0].tolist() == list(range(2, 48, 4))


def test_2d_pools_parts_apart_and_keeps_newlines():
    """A picture of two parts, as LLaVA-NeXT has it: the second has a newline after each row."""
    layout = PictureLayout((Part(Grid(2, 2)), Part(Grid(2, 4), newline=True)))
    x = torch.arange(14.0).reshape(1, 14, 1)
    x[0, [8, 13]] = -1.0
    pictures = PictureBatch(x, layout)
    budget = Budget(layout, 0.25, "2d")
    reduced = AvgPool2d()(pictures, budget)
    assert reduced.tokens.shape[1] == budget.num_tokens
    assert reduced.tokens[0, 0, 0] == 1.5  # the mean of 0, 1, 2, 3
    assert reduced.tokens[0, -1, 0] == -1  # the newline token
    # Two outputs for the second part's eight tokens.
    assert reduced.tokens[0, 1:3, 0].tolist() == [(4 + 5 + 9 + 10) / 4, (6 + 7 + 11 + 12) / 4]
