import torch

from metacompress_compressor.reductions import PruMerge, PruMergePlus
from metacompress_compressor.windows import Grid

GRID = Grid(1, 6)
X = torch.tensor([[[1.0], [2.0], [4.0], [8.0], [16.0], [32.0]]])
SCORES = torch.tensor([[0.0, 5.0, 1.0, 4.0, 2.0, 3.0]])
# Token 0 lies next to 1 and token 2 next to 3; 4 and 5 are far from all.
KEYS = torch.tensor([[[1, 0.1, 0], [1, 0, 0], [0, 1, 0.1], [0, 1, 0], [-1, 0, 0], [0, -1, 0.0]]])


def attention():
    """Softmax over CLS, whose own score is 0, and the patches."""
    return torch.cat([torch.zeros(1), SCORES[0]]).softmax(0)[1:]


def test_kept_tokens_take_up_their_neighbours_and_one_takes_the_rest(make_pictures, budget_of):
    reduced = PruMerge(neighbours=1)(make_pictures(X, GRID, SCORES, KEYS), budget_of(GRID, 3))
    a = attention()
    assert reduced.positions.tolist() == [[1, 3, 5]]
    expected = torch.stack(
        [
            2 + a[0] * 1,
            8 + a[2] * 4,
            a[0] * 1 + a[2] * 4 + a[4] * 16 + a[5] * 32,
        ]
    )
    torch.testing.assert_close(reduced.tokens.flatten(), expected)


def test_a_single_token_is_the_whole_pictures(make_pictures, budget_of):
    reduced = PruMerge()(make_pictures(X, GRID, SCORES, KEYS), budget_of(GRID, 1))
    torch.testing.assert_close(reduced.tokens.flatten(), (attention() * X[0, :, 0]).sum()[None])


def test_no_more_neighbours_than_there_are(make_pictures, budget_of):
    reduced = PruMerge(neighbours=32)(make_pictures(X, GRID, SCORES, KEYS), budget_of(GRID, 2))
    a, x = attention(), X[0, :, 0]
    torch.testing.assert_close(reduced.tokens[0, 0, 0], x[1] + (a * x).sum() - a[1] * x[1])


def test_plus_adds_strided_tokens(make_pictures, budget_of):
    """Four of five kept: one by attention (token 1), three strided over 0, 2, 3, 4, 5."""
    reduced = PruMergePlus(neighbours=1)(make_pictures(X, GRID, SCORES, KEYS), budget_of(GRID, 5))
    assert reduced.positions.tolist() == [[0, 1, 3, 5, 5]]
