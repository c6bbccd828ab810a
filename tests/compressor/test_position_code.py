"""Position codes tell places apart and cost no parameters."""

import pytest
import torch

from metacompress_compressor.position_code import position_code, projected_position_code
from metacompress_compressor.windows import Grid


@pytest.mark.parametrize("code", ["sinusoidal_1d", "sinusoidal_2d"])
def test_every_place_has_its_own_code(code):
    codes = position_code(Grid(6, 9), 32, code)
    assert codes.shape == (54, 32)
    assert codes.abs().max() <= 1
    distances = torch.cdist(codes, codes) + torch.eye(54) * 10
    assert distances.min() > 0.1


def test_2d_code_knows_neighbours_above():
    codes = position_code(Grid(10, 10), 64, "sinusoidal_2d")
    similarity = codes @ codes[44]
    assert similarity[34] == pytest.approx(similarity[43].item(), rel=1e-5)
    assert similarity[34] > similarity[24] > similarity[14]


def test_1d_code_depends_on_the_number_alone():
    assert torch.equal(
        position_code(Grid(4, 5), 8, "sinusoidal_1d"),
        position_code(Grid(1, 20), 8, "sinusoidal_1d"),
    )


@pytest.mark.parametrize("code", ["none", "sinusoidal_1d", "sinusoidal_2d"])
def test_projected_code_is_the_code_times_the_weight(code):
    grid, weight = Grid(5, 7), torch.randn(16, 6)
    expected = position_code(grid, 16, code) @ weight
    torch.testing.assert_close(projected_position_code(grid, weight, code), expected)


def test_none_is_zero():
    assert not position_code(Grid(2, 3), 7, "none").any()


@pytest.mark.parametrize(("code", "hidden_size"), [("sinusoidal_2d", 6), ("sinusoidal_1d", 7)])
def test_sizes_that_cannot_be_paired(code, hidden_size):
    with pytest.raises(ValueError, match=str(hidden_size)):
        position_code(Grid(2, 2), hidden_size, code)
    with pytest.raises(ValueError, match=str(hidden_size)):
        projected_position_code(Grid(2, 2), torch.ones(hidden_size, 3), code)
