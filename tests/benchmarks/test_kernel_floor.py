"""The arithmetic of docs/kernels.md: what must be, what is built, and what was not built."""

import pytest

pytest.importorskip("triton", reason="Triton is not installed")

from benchmarks.kernel_floor import (
    BATCHES,
    SHAPES,
    built_seconds,
    floor,
    floor_seconds,
    pooled_first_seconds,
)

EVERY = [(name, batch) for name in SHAPES for batch in BATCHES]


def test_the_floor_is_the_formula_counted():
    n, m, d = SHAPES["LLaVA-1.5, 576 to 58"]
    projection, compression = floor(2, (n, m, d))
    assert projection == (2 * n * d * 2, 2 * (2 * n * d * 256))
    assert compression == (2 * (n + m) * d * 2, 2 * (2 * m * n * 128 + 2 * m * n * d))


@pytest.mark.parametrize(("name", "batch"), EVERY)
def test_nothing_is_faster_than_the_floor(name, batch):
    assert built_seconds(batch, SHAPES[name]) > floor_seconds(batch, SHAPES[name])


@pytest.mark.parametrize(("name", "batch"), EVERY)
def test_pooling_first_pays_nowhere_for_normalised_tokens(name, batch):
    """The page says so; a change of blocks or rates that made it pay should be noticed."""
    built = built_seconds(batch, SHAPES[name])
    assert pooled_first_seconds(batch, SHAPES[name], normalised=True) > built
