"""How many outputs, which tokens each stands for, and where they stand."""

import pytest

from metacompress_compressor.windows import (
    Grid,
    compressed_grid,
    num_compressed_tokens,
    window_positions,
    window_ranges,
)


@pytest.mark.parametrize(
    ("grid", "ratio", "expected"),
    [
        (Grid(16, 16), 0.1, Grid(5, 5)),
        (Grid(24, 24), 0.1, Grid(7, 8)),
        (Grid(24, 12), 0.1, Grid(7, 4)),
        (Grid(16, 16), 0.25, Grid(8, 8)),
        (Grid(16, 16), 0.001, Grid(1, 1)),
        (Grid(30, 30), 0.01, Grid(3, 3)),
        (Grid(1, 50), 0.1, Grid(1, 5)),
        (Grid(16, 16), 1.0, Grid(16, 16)),
    ],
)
def test_2d_grid(grid, ratio, expected):
    assert compressed_grid(grid, ratio, "2d") == expected


def test_1d_follows_the_formula_for_every_n():
    for n in range(1, 3000, 7):
        for ratio in (0.05, 0.1, 0.2, 0.5, 0.9):
            assert num_compressed_tokens(Grid(1, n), ratio, "1d") == max(1, round(ratio * n))


def test_2d_never_exceeds_its_budget_or_the_picture():
    for rows in range(1, 30):
        for cols in range(1, 30):
            grid = Grid(rows, cols)
            for ratio in (0.05, 0.1, 0.3, 0.5, 0.95):
                compressed = compressed_grid(grid, ratio, "2d")
                assert compressed.num_tokens <= max(1, round(ratio * grid.num_tokens))
                assert compressed.rows <= rows
                assert compressed.cols <= cols


@pytest.mark.parametrize("windows", ["1d", "2d"])
@pytest.mark.parametrize("ratio", [0.02, 0.1, 0.33, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("grid", [Grid(16, 16), Grid(7, 9), Grid(1, 13), Grid(24, 24), Grid(1, 1)])
def test_windows_cover_the_picture_and_hold_their_centres(grid, ratio, windows):
    compressed = compressed_grid(grid, ratio, windows)
    ranges = window_ranges(grid, compressed, windows)
    positions = window_positions(grid, compressed, windows)
    cols = grid.num_tokens if windows == "1d" and ratio < 1 else grid.cols
    windows_as_sets = [
        {row * cols + col for row in range(top, bottom) for col in range(left, right)}
        for top, bottom, left, right in ranges
    ]
    assert set().union(*windows_as_sets) == set(range(grid.num_tokens))
    assert len(positions) == len(ranges) == compressed.num_tokens
    assert positions == sorted(set(positions))
    assert all(
        position in window for position, window in zip(positions, windows_as_sets, strict=True)
    )


def test_positions_without_reduction_are_the_picture_s():
    assert window_positions(Grid(4, 5), Grid(4, 5), "2d") == list(range(20))
    assert window_positions(Grid(4, 5), compressed_grid(Grid(4, 5), 1.0, "1d"), "1d") == list(
        range(20)
    )


def test_positions_of_one_row_differ_between_1d_and_2d():
    assert window_positions(Grid(16, 16), Grid(1, 2), "1d") == [64, 192]
    assert window_positions(Grid(16, 16), Grid(1, 2), "2d") == [132, 140]


@pytest.mark.parametrize("ratio", [0.0, -0.1, 1.01, float("nan")])
def test_ratio_out_of_range(ratio):
    with pytest.raises(ValueError, match="retention_ratio must be in"):
        compressed_grid(Grid(4, 4), ratio, "2d")


def test_impossible_grids():
    with pytest.raises(ValueError, match="at least one row"):
        Grid(0, 4)
    with pytest.raises(ValueError, match="more outputs than"):
        window_ranges(Grid(4, 4), Grid(5, 1), "2d")
