import torch

from metacompress_compressor.reductions import ToMe
from metacompress_compressor.windows import Grid

GRID = Grid(1, 4)
# Tokens 0 and 3 look alike, 1 and 2 do not.
KEYS = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.2], [1.0, 0.1]]])
X = torch.tensor([[[1.0], [10.0], [100.0], [3.0]]])


def test_the_most_similar_pair_is_averaged_at_its_partners_place(make_pictures, budget_of):
    reduced = ToMe()(make_pictures(X, GRID, keys=KEYS), budget_of(GRID, 3))
    assert reduced.positions.tolist() == [[1, 2, 3]]
    torch.testing.assert_close(reduced.tokens.flatten(), torch.tensor([10.0, 100.0, 2.0]))


def test_sizes_are_tracked_so_the_last_token_is_the_mean_of_all(make_pictures, budget_of):
    x = torch.randn(2, 4, 5)
    pictures = make_pictures(x, GRID, keys=torch.randn(2, 4, 3))
    reduced = ToMe()(pictures, budget_of(GRID, 1))
    torch.testing.assert_close(reduced.tokens, x.mean(1, keepdim=True))


def test_two_tokens_may_share_a_partner(make_pictures, budget_of):
    keys = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    x = torch.tensor([[[3.0], [6.0], [9.0], [50.0]]])
    reduced = ToMe()(make_pictures(x, GRID, keys=keys), budget_of(GRID, 2))
    torch.testing.assert_close(reduced.tokens.flatten(), torch.tensor([6.0, 50.0]))
    assert reduced.positions.tolist() == [[1, 3]]
