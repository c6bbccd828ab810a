import math

import torch

from metacompress_compressor.reductions import DivPrune
from metacompress_compressor.windows import Grid


def test_chooses_what_is_farthest_from_the_chosen(make_pictures, budget_of):
    """On a circle: 10, 12, 90, 200 and 204 degrees. 90 is loneliest, then 200 is farthest."""
    angles = torch.tensor([10.0, 12, 90, 200, 204]) * math.pi / 180
    x = torch.stack([angles.cos(), angles.sin()], dim=1).unsqueeze(0)
    pictures = make_pictures(x, Grid(1, 5))

    def chosen(m):
        return DivPrune()(pictures, budget_of(Grid(1, 5), m)).positions[0].tolist()

    assert chosen(1) == [2]
    assert chosen(2) == [2, 4]
    assert chosen(3) == [0, 2, 4]
    assert chosen(5) == [0, 1, 2, 3, 4]


def test_each_choice_is_the_farthest(make_pictures, budget_of):
    """Against a plain loop on random tokens."""
    x = torch.randn(1, 20, 6)
    unit = x[0] / x[0].norm(dim=1, keepdim=True)
    distance = 1 - unit @ unit.T
    nearest = (distance + 9 * torch.eye(20)).min(1).values
    expected = [int(nearest.argmax())]
    while len(expected) < 7:
        left = [i for i in range(20) if i not in expected]
        expected.append(max(left, key=lambda i: min(distance[i, j].item() for j in expected)))
    reduced = DivPrune()(make_pictures(x, Grid(4, 5)), budget_of(Grid(4, 5), 7))
    assert reduced.positions[0].tolist() == sorted(expected)


def test_order_of_the_tokens_does_not_matter(make_pictures, budget_of):
    x = torch.randn(1, 20, 6)
    shuffle = torch.randperm(20)
    one = DivPrune()(make_pictures(x, Grid(4, 5)), budget_of(Grid(4, 5), 7)).positions
    other = DivPrune()(make_pictures(x[:, shuffle], Grid(4, 5)), budget_of(Grid(4, 5), 7)).positions
    assert set(one[0].tolist()) == set(shuffle[other[0]].tolist())
