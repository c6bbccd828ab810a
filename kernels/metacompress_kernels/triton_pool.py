"""Triton: averages of the queries over each output's window."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

import torch
import triton
import triton.language as tl
from torch import Tensor

from .blocks import pool_blocks
from .triton_common import Pictures, picture_strides, span


@triton.jit
def _pool_kernel(
    queries,
    windows,
    pooled,
    cu_tokens,
    cu_outputs,
    grid_cols,
    num_tokens,
    num_outputs,
    key_dim,
    stride_qb,
    stride_qn,
    stride_qc,
    RAGGED: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """One output: the mean of the queries in its window, in fp32."""
    picture = tl.program_id(1).to(tl.int64)
    first_token, _ = span(picture, cu_tokens, num_tokens, RAGGED)
    first_output, m = span(picture, cu_outputs, num_outputs, RAGGED)
    output = tl.program_id(0)
    if output >= m:
        return
    if RAGGED:
        cols = tl.load(grid_cols + picture).to(tl.int32)
        pooled += first_output * key_dim
    else:
        cols = grid_cols
        pooled += picture * num_outputs * key_dim
    queries += picture * stride_qb + first_token * stride_qn

    window = windows + (first_output + output) * 4
    top, left = tl.load(window), tl.load(window + 2)
    width = tl.load(window + 3) - left
    area = (tl.load(window + 1) - top) * width
    channel = tl.arange(0, BLOCK_C)
    total = tl.zeros((BLOCK_C,), tl.float32)
    for start in range(0, area, BLOCK_T):
        place = start + tl.arange(0, BLOCK_T)
        token = ((top + place // width) * cols + left + place % width).to(tl.int64)
        source = queries + token[:, None] * stride_qn + channel.to(tl.int64)[None, :] * stride_qc
        mask = (place < area)[:, None] & (channel < key_dim)[None, :]
        total += tl.sum(tl.load(source, mask=mask, other=0.0).to(tl.float32), 0)
    target = pooled + output.to(tl.int64) * key_dim + channel
    tl.store(target, total / area.to(tl.float32), mask=channel < key_dim)


def launch_pool(
    queries: Tensor, windows: Tensor, grid_cols: int | Tensor | None, pictures: Pictures
) -> Tensor:
    """Queries of all tokens `[B, N, Dc]` to pooled queries `[B, M, Dc]` in fp32."""
    key_dim = queries.shape[2]
    pooled = queries.new_empty(queries.shape[0], windows.shape[0], key_dim, dtype=torch.float32)
    blocks = pool_blocks(pictures.num_tokens, pictures.num_outputs, key_dim)
    _pool_kernel[(pictures.num_outputs, pictures.count)](
        queries,
        windows.to(torch.int32).contiguous(),
        pooled,
        pictures.cu_tokens,
        pictures.cu_outputs,
        grid_cols,
        pictures.num_tokens,
        pictures.num_outputs,
        key_dim,
        *picture_strides(queries, pictures),
        RAGGED=pictures.ragged,
        BLOCK_T=blocks.tokens,
        BLOCK_C=blocks.key_channels,
        num_warps=2,
    )
    return pooled
