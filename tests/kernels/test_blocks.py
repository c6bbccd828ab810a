"""The choice of blocks: a large GPU is kept busy by one picture, and every block is a legal one."""

import itertools

import pytest

from metacompress_kernels.blocks import (
    MULTIPROCESSORS,
    WIDEST_KEY,
    Load,
    cdiv,
    compress_blocks,
    pool_blocks,
    power_of_two,
    project_blocks,
)

PICTURES = {"llava-1.5": (576, 58, 4096), "llava-next": (2880, 288, 4096)}


@pytest.mark.parametrize("name", PICTURES)
def test_one_picture_takes_about_half_of_a_large_gpu_or_more(name):
    n, m, d = PICTURES[name]
    projecting = project_blocks(n, d, 256, 2).load(n, d, 256, 2)
    compressing = compress_blocks(1, n, m, d, 128, 2).load(1, n, m, d, 2)
    assert projecting.programs >= 0.5 * MULTIPROCESSORS
    assert compressing.programs >= 0.45 * MULTIPROCESSORS


@pytest.mark.parametrize("name", PICTURES)
def test_a_batch_reads_every_token_once_for_its_projection(name):
    n, _, d = PICTURES[name]
    blocks = project_blocks(16 * n, d, 256, 2)
    assert blocks.columns == 256
    assert blocks.splits == 1


def test_scores_are_computed_less_often_in_a_batch():
    alone, crowd = (compress_blocks(pictures, 576, 58, 4096, 128, 2) for pictures in (1, 16))
    assert crowd.channels > alone.channels


def test_a_load_waits_for_whichever_is_longest():
    """One program beyond the multiprocessors doubles what the fullest has to do."""
    one, two = (Load(count, 1e6, 1.0, 0, 8) for count in (MULTIPROCESSORS, MULTIPROCESSORS + 1))
    busy, busier = (Load(count, 1, 1e9, 0, 8) for count in (MULTIPROCESSORS, MULTIPROCESSORS + 1))
    assert one.seconds("project") < two.seconds("project") < 1.1 * one.seconds("project")
    assert busier.seconds("project") == 2 * busy.seconds("project")


def test_programs_that_follow_each_other_wait_one_after_another():
    """A multiprocessor holds one program of eight warps at a time, or two of four."""

    def waiting(each, warps):
        return Load(each * MULTIPROCESSORS, 0.0, 0.0, 10, warps).seconds("project")

    assert waiting(2, 8) == waiting(4, 4) == pytest.approx(2 * waiting(1, 8))
    assert waiting(2, 4) == waiting(1, 4) == waiting(1, 8)


@pytest.mark.parametrize("itemsize", [2, 4])
def test_blocks_are_legal_for_every_supported_size(itemsize):
    """Triton wants powers of two, its products at least 16 on every side."""
    sizes = itertools.product((1, 2, 64), (1, 58, 16384), (1, 100, 8192), (1, 32, 100, 256))
    for pictures, m, d, key_dim in sizes:
        compress = compress_blocks(pictures, 16384, m, d, key_dim, itemsize)
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
