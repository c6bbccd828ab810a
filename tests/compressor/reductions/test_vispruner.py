import torch

from metacompress_compressor.reductions import VisPruner
from metacompress_compressor.windows import Grid

GRID = Grid(1, 6)


def test_half_by_attention_and_half_by_difference(make_pictures, budget_of):
    """Token 5 is attended. Of 0 to 4, the even ones 0 and 2 each have a twin at 1 and 3."""
    x = torch.tensor([[[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1], [5, 5, 5.0]]])
    scores = torch.tensor([[0.0, 0, 0, 0, 0, 9]])
    reduced = VisPruner(attended_share=0.25)(make_pictures(x, GRID, scores), budget_of(GRID, 4))
    assert reduced.positions.tolist() == [[1, 3, 4, 5]]


def test_drops_eight_at_a_time(make_pictures, budget_of):
    """Attention keeps nothing of 40 tokens; a second round of eight looks at what is left."""
    grid = Grid(4, 10)
    x = torch.randn(1, 40, 5)
    pictures = make_pictures(x, grid)
    unit = x[0] / x[0].norm(dim=1, keepdim=True)
    left = list(range(40))
    for count in (8, 8, 4):
        even, odd = left[::2], left[1::2]
        likeness = [max(float(unit[i] @ unit[j]) for j in odd) for i in even]
        ranked = sorted(zip(likeness, even, strict=True), reverse=True)
        left = sorted(set(left) - {index for _, index in ranked[:count]})
    reduced = VisPruner(attended_share=0.0)(pictures, budget_of(grid, 20))
    assert reduced.positions[0].tolist() == left
