import torch

from metacompress_compressor.reductions import VisionZip
from metacompress_compressor.windows import Grid

GRID = Grid(1, 6)
X = torch.tensor([[[1.0], [2.0], [4.0], [8.0], [16.0], [32.0]]])


def test_dominant_tokens_stay_and_the_rest_goes_to_its_target(make_pictures, budget_of):
    """Token 5 is dominant; of 0 to 4 the targets are 1 and 3, whose keys are opposite."""
    scores = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0, 9.0]])
    keys = torch.tensor(
        [[[1.0, 0.1], [1.0, 0.0], [-1.0, 0.1], [-1.0, 0.0], [1.0, 0.2], [0.0, 1.0]]]
    )
    pictures = make_pictures(X, GRID, scores, keys)
    reduced = VisionZip(dominant_share=1 / 3)(pictures, budget_of(GRID, 3))
    assert reduced.positions.tolist() == [[1, 3, 5]]
    expected = torch.tensor([2 + (1 + 16) / 2, 8 + 4, 32.0])
    torch.testing.assert_close(reduced.tokens.flatten(), expected)


def test_the_split_is_the_methods_own(make_pictures, budget_of):
    """At 64 tokens 54 are dominant."""
    grid = Grid(10, 10)
    scores = torch.arange(100.0).unsqueeze(0)
    pictures = make_pictures(torch.randn(1, 100, 4), grid, scores, torch.randn(1, 100, 4))
    positions = VisionZip()(pictures, budget_of(grid, 64)).positions[0].tolist()
    assert positions[10:] == list(range(46, 100))
    assert positions[:10] == [2, 6, 11, 16, 20, 25, 29, 34, 39, 43]
