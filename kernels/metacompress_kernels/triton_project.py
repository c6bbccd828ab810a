"""Triton: queries and keys of all tokens in one pass over them, normalisation included.

`layer_norm(x) W + c` needs a row's mean and deviation before its product, which would read X twice.
Since the normalisation is linear in x once both are known,

    layer_norm(x) W = (x W - mean(x) 1^T W) / deviation(x),

one pass gathers product, sum and sum of squares together, in fp32. The variance as a difference of
squares loses `(mean / deviation)^2` units of fp32 rounding: nothing at the values of a projector.

Floor for R tokens: `R D` numbers read and `R C` written, `2 R D C` operations. A program reads a
token once and the whole weight once for its block of tokens, so wide blocks matter: the weight
comes from the L2 cache `R / block` times. Few tokens give few blocks; then several programs share
the channels of one block, and a second small kernel adds their sums.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

import torch
import triton
import triton.language as tl
from torch import Tensor

from .blocks import cdiv, power_of_two, project_blocks
from .triton_common import INTERPRETED, dot


@triton.jit
def _store_projected(
    out,
    product,
    total,
    squares,
    column_sum,
    offset,
    row,
    column,
    num_rows,
    num_tokens,
    hidden,
    width,
    eps,
    NORMALISE: tl.constexpr,
):
    """Finish `layer_norm(x) W + c` for one block of tokens and columns."""
    if NORMALISE:
        mean = total / hidden
        variance = tl.maximum(squares / hidden - mean * mean, 0.0)
        sums = tl.load(column_sum + column, mask=column < width, other=0.0)
        product = (product - mean[:, None] * sums[None, :]) * tl.rsqrt(variance + eps)[:, None]
    mask = (row < num_rows)[:, None] & (column < width)[None, :]
    token = (row % num_tokens).to(tl.int64)
    place = token[:, None] * width + column[None, :]
    product += tl.load(offset + place, mask=mask, other=0.0).to(tl.float32)
    place = row.to(tl.int64)[:, None] * width + column[None, :]
    tl.store(out + place, product.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _project_kernel(
    tokens,
    weight,
    column_sum,
    offset,
    out,
    moments,
    num_rows,
    num_tokens,
    hidden,
    width,
    eps,
    channels_each,
    stride_xb,
    stride_xn,
    stride_xd,
    NORMALISE: tl.constexpr,
    SPLIT: tl.constexpr,
    WIDEN: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_W: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Some tokens times some columns of the weight; with SPLIT, over some of the channels only."""
    row = tl.program_id(1) * BLOCK_T + tl.arange(0, BLOCK_T)
    column = tl.program_id(0) * BLOCK_W + tl.arange(0, BLOCK_W)
    picture, token = (row // num_tokens).to(tl.int64), (row % num_tokens).to(tl.int64)
    x_row = tokens + picture * stride_xb + token * stride_xn
    first = tl.program_id(2) * channels_each

    product = tl.zeros((BLOCK_T, BLOCK_W), tl.float32)
    total = tl.zeros((BLOCK_T,), tl.float32)
    squares = tl.zeros((BLOCK_T,), tl.float32)
    for start in range(first, first + channels_each, BLOCK_K):
        depth = start + tl.arange(0, BLOCK_K)
        inside = depth < hidden
        source = x_row[:, None] + depth.to(tl.int64)[None, :] * stride_xd
        x = tl.load(source, mask=(row < num_rows)[:, None] & inside[None, :], other=0.0)
        source = weight + depth[:, None] * width + column[None, :]
        w = tl.load(source, mask=inside[:, None] & (column < width)[None, :], other=0.0)
        product += dot(x.to(w.dtype), w, WIDEN)
        if NORMALISE:
            wide = x.to(tl.float32)
            total += tl.sum(wide, 1)
            squares += tl.sum(wide * wide, 1)

    if SPLIT:
        share = tl.program_id(2).to(tl.int64) * num_rows + row
        mask = (row < num_rows)[:, None] & (column < width)[None, :]
        tl.store(out + share[:, None] * width + column[None, :], product, mask=mask)
        if NORMALISE:
            first_column = (row < num_rows) & (tl.program_id(0) == 0)
            tl.store(moments + share * 2, total, mask=first_column)
            tl.store(moments + share * 2 + 1, squares, mask=first_column)
    else:
        _store_projected(
            out,
            product,
            total,
            squares,
            column_sum,
            offset,
            row,
            column,
            num_rows,
            num_tokens,
            hidden,
            width,
            eps,
            NORMALISE,
        )


@triton.jit
def _join_kernel(
    shares,
    moments,
    column_sum,
    offset,
    out,
    num_rows,
    num_tokens,
    hidden,
    width,
    eps,
    splits,
    NORMALISE: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """Add the shares of a split projection, always in the same order, and finish it."""
    row = tl.program_id(1) * BLOCK_T + tl.arange(0, BLOCK_T)
    column = tl.program_id(0) * BLOCK_W + tl.arange(0, BLOCK_W)
    mask = (row < num_rows)[:, None] & (column < width)[None, :]
    product = tl.zeros((BLOCK_T, BLOCK_W), tl.float32)
    total = tl.zeros((BLOCK_T,), tl.float32)
    squares = tl.zeros((BLOCK_T,), tl.float32)
    for split in range(splits):
        share = row.to(tl.int64) + split * num_rows
        product += tl.load(shares + share[:, None] * width + column[None, :], mask=mask, other=0.0)
        if NORMALISE:
            total += tl.load(moments + share * 2, mask=row < num_rows, other=0.0)
            squares += tl.load(moments + share * 2 + 1, mask=row < num_rows, other=0.0)
    _store_projected(
        out,
        product,
        total,
        squares,
        column_sum,
        offset,
        row,
        column,
        num_rows,
        num_tokens,
        hidden,
        width,
        eps,
        NORMALISE,
    )


def launch_project(
    tokens: Tensor,
    weight: Tensor,
    offset: Tensor,
    eps: float | None,
    column_sum: Tensor | None = None,
) -> Tensor:
    """`[B, N, D]`, `[D, C]` and `[N, C]` to `[B, N, C]`; arguments as in `project_tokens`."""
    batch, num_tokens, hidden = tokens.shape
    width = weight.shape[1]
    out = weight.new_empty(batch, num_tokens, width)
    if out.numel() == 0:
        return out
    rows = batch * num_tokens
    blocks = project_blocks(rows, hidden, width, weight.element_size())
    each = blocks.channels_each(hidden)
    splits = cdiv(hidden, each)
    shares, moments = _workspace(out, splits)
    if column_sum is None:
        column_sum = weight.sum(dim=0, dtype=torch.float32)
    offset = offset.contiguous()
    sizes = (rows, num_tokens, hidden, width, 0.0 if eps is None else eps)
    _project_kernel[(cdiv(width, blocks.columns), cdiv(rows, blocks.tokens), splits)](
        tokens,
        weight.contiguous(),
        column_sum.contiguous(),
        offset,
        shares,
        moments,
        *sizes,
        each,
        *tokens.stride(),
        NORMALISE=eps is not None,
        SPLIT=splits > 1,
        WIDEN=INTERPRETED,
        BLOCK_T=blocks.tokens,
        BLOCK_W=blocks.columns,
        BLOCK_K=blocks.channels,
        num_warps=blocks.warps,
        num_stages=blocks.stages,
    )
    if splits > 1:
        columns = power_of_two(width, 16, 128)
        _join_kernel[(cdiv(width, columns), cdiv(rows, 8))](
            shares,
            moments,
            column_sum.contiguous(),
            offset,
            out,
            *sizes,
            splits,
            NORMALISE=eps is not None,
            BLOCK_T=8,
            BLOCK_W=columns,
            num_warps=4,
        )
    return out


def _workspace(out: Tensor, splits: int) -> tuple[Tensor, Tensor]:
    """Where programs leave their sums: `out` itself, or fp32 shares with the moments beside."""
    if splits == 1:
        return out, out
    batch, num_tokens, width = out.shape
    shares = out.new_empty(splits, batch * num_tokens, width, dtype=torch.float32)
    return shares, out.new_empty(splits, batch * num_tokens, 2, dtype=torch.float32)
