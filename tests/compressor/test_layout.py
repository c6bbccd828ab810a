"""Layouts: m from the size alone, positions in order, newlines at the ends of their rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacompress_compressor.layout import (
    Part,
    PictureLayout,
    compressed_layout,
    layout_positions,
)
from metacompress_compressor.windows import Grid, compressed_grid, window_positions

SIDES = st.integers(1, 40)
RATIOS = st.floats(0.01, 0.99)
WINDOWS = st.sampled_from(["1d", "2d"])
NEXT = PictureLayout((Part(Grid(4, 4)), Part(Grid(4, 8), newline=True)))


@given(SIDES, SIDES, RATIOS, WINDOWS)
def test_one_grid_is_what_windows_say(rows, cols, ratio, windows):
    grid = Grid(rows, cols)
    layout = PictureLayout.of_grid(grid)
    small = compressed_layout(layout, ratio, windows)
    expected = compressed_grid(grid, ratio, windows)
    assert small.num_tokens == expected.num_tokens
    assert layout_positions(layout, small, windows) == window_positions(grid, expected, windows)


@given(SIDES, SIDES, SIDES, RATIOS, WINDOWS)
def test_positions_rise_within_the_picture(side, rows, cols, ratio, windows):
    layout = PictureLayout((Part(Grid(side, side)), Part(Grid(rows, cols), newline=True)))
    small = compressed_layout(layout, ratio, windows)
    positions = layout_positions(layout, small, windows)
    assert len(positions) == small.num_tokens
    assert positions == sorted(set(positions))
    assert positions[-1] < layout.num_tokens
    budget = sum(max(1, round(ratio * part.grid.num_tokens)) for part in layout.parts)
    newlines = small.num_newlines if windows == "2d" else layout.num_newlines
    assert small.num_tokens <= budget + newlines


def test_two_dimensional_windows_keep_the_parts_and_a_newline_for_each_row():
    small = compressed_layout(NEXT, 0.25, "2d")
    assert small == PictureLayout((Part(Grid(2, 2)), Part(Grid(2, 4), newline=True)))
    assert layout_positions(NEXT, small, "2d") == [
        *(5, 7, 13, 15),
        *(16 + 9 + col for col in (1, 3, 5, 7)),
        16 + 9 + 8,
        *(16 + 27 + col for col in (1, 3, 5, 7)),
        16 + 27 + 8,
    ]


def test_one_dimensional_windows_take_the_sequence_as_it_is():
    small = compressed_layout(NEXT, 0.25, "1d")
    assert small == PictureLayout.of_grid(Grid(1, 13))
    assert NEXT.for_windows("1d") == PictureLayout.of_grid(Grid(1, 52))


@pytest.mark.parametrize("windows", ["1d", "2d"])
def test_the_whole_ratio_changes_nothing(windows):
    assert compressed_layout(NEXT, 1.0, windows) == NEXT
    assert layout_positions(NEXT, NEXT, windows) == list(range(52))
