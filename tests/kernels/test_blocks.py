"""The choice of blocks: a large GPU is kept busy by one picture, and every block is a legal one."""

import itertools

import pytest

from metacompress_kernels.blocks import (
    BUSY,
    WIDEST_KEY,
    cdiv,
    compress_blocks,
    pool_blocks,
    power_of_two,
    project_blocks,
)

PICTURES = {"llava-1.5": (576, 58, 4096), "llava-next": (2880, 288, 4096)}


@pytest.mark.parametrize("name", PICTURES)
def test_one_picture_keeps_a_large_gpu_busy(name):
    n, m, d = PICTURES[name]
    blocks = project_blocks(n, d, 256, 2)
    assert cdiv(n, blocks.tokens) * cdiv(256, blocks.columns) * blocks.splits >= BUSY
    compress = compress_blocks(1, m, d, 128, 2)
    assert cdiv(m, compress.outputs) * cdiv(d, compress.channels) >= BUSY


@pytest.mark.parametrize("name", PICTURES)
def test_a_batch_reads_every_token_once_for_its_projection(name):
    n, _, d = PICTURES[name]
    blocks = project_blocks(16 * n, d, 256, 2)
    assert blocks.columns == 256
    assert blocks.splits == 1


def test_scores_are_computed_less_often_in_a_batch():
    assert (
        compress_blocks(16, 58, 4096, 128, 2).channels
        > compress_blocks(1, 58, 4096, 128, 2).channels
    )


@pytest.mark.parametrize("itemsize", [2, 4])
def test_blocks_are_legal_for_every_supported_size(itemsize):
    """Triton wants powers of two, its products at least 16 on every side."""
    sizes = itertools.product((1, 2, 64), (1, 58, 16384), (1, 100, 8192), (1, 32, 100, 256))
    for pictures, m, d, key_dim in sizes:
        compress = compress_blocks(pictures, m, d, key_dim, itemsize)
        project = project_blocks(pictures * m, d, 2 * key_dim, itemsize)
        pool = pool_blocks(16384, m, key_dim)
        sides = (compress.outputs, compress.tokens, compress.channels, compress.key_channels)
        sides += (project.tokens, project.columns, project.channels)
        for side in sides:
            assert side >= 16
        for side in (*sides, pool.tokens, pool.key_channels):
            assert side & (side - 1) == 0
        assert key_dim <= compress.key_channels <= WIDEST_KEY
        each = project.channels_each(d)
        assert each % project.channels == 0
        assert cdiv(d, each) <= project.splits


def test_powers_of_two():
    assert [power_of_two(size, 4, 64) for size in (0, 1, 4, 5, 64, 65)] == [4, 4, 4, 8, 64, 64]
