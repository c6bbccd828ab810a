"""Triton: pooled queries, scores, softmax and weighted sum in one pass over the values.

What has to move, for a picture of N tokens and M outputs: the keys `N x Dc` and the values `N x D`
in, `M x D` out. Written P would add `2 x M x N`; here a program holds one block of outputs and
one block of channels, walks over the tokens with the running maximum and sum of an online softmax,
and recomputes its scores, so nothing of size `M x N` leaves the chip. Operations: `2 M N D` for the
sum and `2 M N Dc` for the scores, the latter once for each block of channels. With M outputs each
bf16 value serves M multiply-adds: below about 300 outputs the memory of an H100 is the limit, above
it the tensor cores are.

The blocks depend on the shape of a picture alone and never on the batch, so the same picture gives
the same bits in any batch.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

_INTERPRETED = triton.knobs.runtime.interpret


@triton.jit
def _span(picture, cumulative, fixed, RAGGED: tl.constexpr):
    """First row of a picture and its number of rows; dense pictures start at 0 of their own."""
    if RAGGED:
        first = tl.load(cumulative + picture).to(tl.int64)
        return first, (tl.load(cumulative + picture + 1) - first).to(tl.int32)
    return tl.zeros((), tl.int64), fixed


@triton.jit
def _dot(a, b, WIDEN: tl.constexpr):
    """Matrix product in fp32. The interpreter gets bf16 products wrong, so it is given fp32."""
    if WIDEN:
        return tl.dot(a.to(tl.float32), b.to(tl.float32))
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def _scaled_queries(queries, row, inside, stride_m, channel, beta, key_dim, dtype: tl.constexpr):
    """`Q diag(beta) log2(e) / sqrt(Dc)` for some rows: scores come out in units of log 2."""
    mask = inside[:, None] & (channel < key_dim)[None, :]
    block = tl.load(queries + row[:, None] * stride_m + channel[None, :], mask=mask, other=0.0)
    factor = tl.load(beta + channel, mask=channel < key_dim, other=0.0).to(tl.float32)
    scale = 1.4426950408889634 / tl.sqrt(key_dim.to(tl.float32))
    return (block.to(tl.float32) * (factor * scale)[None, :]).to(dtype)


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
    BLOCK_M: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Average the queries of all tokens over each output's window: `pooled` is fp32."""
    picture = tl.program_id(1).to(tl.int64)
    first_token, _ = _span(picture, cu_tokens, num_tokens, RAGGED)
    first_output, m = _span(picture, cu_outputs, num_outputs, RAGGED)
    if RAGGED:
        cols = tl.load(grid_cols + picture).to(tl.int32)
        pooled += first_output * key_dim
    else:
        cols = grid_cols
        pooled += picture * num_outputs * key_dim
    queries += picture * stride_qb + first_token * stride_qn

    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    inside = row < m
    channel = tl.arange(0, BLOCK_C)
    window = windows + (first_output + row) * 4
    top = tl.load(window, mask=inside, other=0)
    bottom = tl.load(window + 1, mask=inside, other=0)
    left = tl.load(window + 2, mask=inside, other=0)
    right = tl.load(window + 3, mask=inside, other=1)
    width = right - left
    area = (bottom - top) * width

    total = tl.zeros((BLOCK_M, BLOCK_C), tl.float32)
    for place in range(tl.max(area)):
        token = (top + place // width) * cols + left + place % width
        mask = (place < area)[:, None] & (channel < key_dim)[None, :]
        source = queries + token.to(tl.int64)[:, None] * stride_qn + channel[None, :] * stride_qc
        total += tl.load(source, mask=mask, other=0.0).to(tl.float32)
    mean = total / tl.maximum(area, 1).to(tl.float32)[:, None]
    target = pooled + row[:, None] * key_dim + channel[None, :]
    tl.store(target, mean, mask=inside[:, None] & (channel < key_dim)[None, :])


@triton.jit
def _column_kernel(
    queries,
    keys,
    beta,
    token_bias,
    out,
    cu_tokens,
    cu_outputs,
    num_tokens,
    num_outputs,
    key_dim,
    stride_qb,
    stride_qm,
    stride_kb,
    stride_kn,
    stride_kc,
    stride_bb,
    stride_bn,
    RAGGED: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    WIDEN: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """`out_j = b_j - logsumexp_i S_ij`: what the competing form adds to every row's scores."""
    picture = tl.program_id(1).to(tl.int64)
    first_token, n = _span(picture, cu_tokens, num_tokens, RAGGED)
    first_output, m = _span(picture, cu_outputs, num_outputs, RAGGED)
    queries += picture * stride_qb + first_output * stride_qm
    keys += picture * stride_kb + first_token * stride_kn
    out += first_token if RAGGED else picture * num_tokens

    token = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    present = token < n
    channel = tl.arange(0, BLOCK_C)
    source = keys + token.to(tl.int64)[:, None] * stride_kn + channel[None, :] * stride_kc
    key = tl.load(source, mask=present[:, None] & (channel < key_dim)[None, :], other=0.0)

    peak = tl.full((BLOCK_N,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_N,), tl.float32)
    for start in range(0, m, BLOCK_M):
        row = start + tl.arange(0, BLOCK_M)
        query = _scaled_queries(
            queries, row, row < m, stride_qm, channel, beta, key_dim, keys.dtype.element_ty
        )
        score = tl.where((row < m)[:, None], _dot(query, tl.trans(key), WIDEN), float("-inf"))
        new_peak = tl.maximum(peak, tl.max(score, 0))
        total = total * tl.exp2(peak - new_peak) + tl.sum(tl.exp2(score - new_peak[None, :]), 0)
        peak = new_peak
    result = -(peak + tl.log2(total)) * 0.6931471805599453
    if HAS_BIAS:
        bias = token_bias + picture * stride_bb + (first_token + token) * stride_bn
        result += tl.load(bias, mask=present, other=0.0).to(tl.float32)
    tl.store(out + token, result, mask=present)


@triton.jit
def _compress_kernel(
    values,
    queries,
    keys,
    beta,
    token_bias,
    out,
    cu_tokens,
    cu_outputs,
    num_tokens,
    num_outputs,
    hidden,
    key_dim,
    stride_vb,
    stride_vn,
    stride_vd,
    stride_qb,
    stride_qm,
    stride_kb,
    stride_kn,
    stride_kc,
    stride_bb,
    stride_bn,
    RAGGED: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    WIDEN: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """One block of outputs, one block of channels, all tokens of one picture."""
    picture = tl.program_id(2).to(tl.int64)
    first_token, n = _span(picture, cu_tokens, num_tokens, RAGGED)
    first_output, m = _span(picture, cu_outputs, num_outputs, RAGGED)
    values += picture * stride_vb + first_token * stride_vn
    keys += picture * stride_kb + first_token * stride_kn
    queries += picture * stride_qb + first_output * stride_qm
    out += (first_output if RAGGED else picture * num_outputs) * hidden

    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    depth = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    channel = tl.arange(0, BLOCK_C)
    query = _scaled_queries(
        queries, row, row < m, stride_qm, channel, beta, key_dim, keys.dtype.element_ty
    )

    peak = tl.full((BLOCK_M,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_M,), tl.float32)
    result = tl.zeros((BLOCK_M, BLOCK_D), tl.float32)
    for start in range(0, n, BLOCK_N):
        token = start + tl.arange(0, BLOCK_N)
        present = token < n
        wide_token = token.to(tl.int64)
        source = keys + wide_token[:, None] * stride_kn + channel[None, :] * stride_kc
        key = tl.load(source, mask=present[:, None] & (channel < key_dim)[None, :], other=0.0)
        score = _dot(query, tl.trans(key), WIDEN)
        if HAS_BIAS:
            bias = token_bias + picture * stride_bb + (first_token + token) * stride_bn
            added = tl.load(bias, mask=present, other=0.0).to(tl.float32)
            score += (added * 1.4426950408889634)[None, :]
        score = tl.where(present[None, :], score, float("-inf"))

        new_peak = tl.maximum(peak, tl.max(score, 1))
        shift = tl.where(new_peak == float("-inf"), 0.0, new_peak)
        weight = tl.exp2(score - shift[:, None])
        correction = tl.exp2(peak - shift)
        total = total * correction + tl.sum(weight, 1)
        source = values + wide_token[:, None] * stride_vn + depth[None, :] * stride_vd
        value = tl.load(source, mask=present[:, None] & (depth < hidden)[None, :], other=0.0)
        result = result * correction[:, None] + _dot(weight.to(value.dtype), value, WIDEN)
        peak = new_peak
    target = out + row.to(tl.int64)[:, None] * hidden + depth[None, :]
    mask = (row < m)[:, None] & (depth < hidden)[None, :]
    tl.store(target, (result / total[:, None]).to(out.dtype.element_ty), mask=mask)


@dataclass(frozen=True)
class Blocks:
    """Sizes of one program's blocks, all powers of two, and how it is pipelined."""

    outputs: int
    tokens: int
    channels: int
    key_channels: int
    stages: int
    warps: int = 4


def blocks_for(num_outputs: int, hidden: int, key_dim: int, itemsize: int) -> Blocks:
    """Blocks for a picture: under 99 KiB of shared memory, so that every GPU since Ampere fits.

    Half precision leaves room for three programs on each multiprocessor of an H100, which hides
    the latency of its memory. fp32 products run without tensor cores, exact, in smaller blocks.
    """
    key_channels = power_of_two(key_dim, 16, 256)
    if itemsize > 2:
        return Blocks(
            power_of_two(num_outputs, 16, 32), 16, power_of_two(hidden, 16, 64), key_channels, 2
        )
    stages = 3 if key_channels <= 128 else 2
    outputs, channels = power_of_two(num_outputs, 16, 64), power_of_two(hidden, 16, 128)
    return Blocks(outputs, 32, channels, key_channels, stages)


def column_blocks_for(key_dim: int) -> Blocks:
    """Blocks for the competing form's pass over the columns; no values, so no channels."""
    return Blocks(32, 32, 0, power_of_two(key_dim, 16, 256), 2)


@dataclass(frozen=True)
class Pictures:
    """Where pictures lie in their tensors: equally large and stacked, or packed one after another.

    Attributes:
        count: B.
        num_tokens, num_outputs: of every picture, or of the largest.
        cu_tokens, cu_outputs: `[B + 1]` int32 first rows, for packed pictures.
    """

    count: int
    num_tokens: int
    num_outputs: int
    cu_tokens: Tensor | None = None
    cu_outputs: Tensor | None = None

    @property
    def ragged(self) -> bool:
        return self.cu_tokens is not None


def launch_compress(
    values: Tensor,
    queries: Tensor,
    keys: Tensor,
    beta: Tensor,
    windows: Tensor | None,
    grid_cols: int | Tensor | None,
    token_bias: Tensor | None,
    competing: bool,
    pictures: Pictures,
) -> Tensor:
    """Run the kernels on `[B, rows, channels]`, or on `[1, rows, channels]` for packed pictures.

    Returns:
        `[B, M, D]`, or `[1, sum of outputs, D]`, in the dtype of `values`.
    """
    rows = queries.shape[1] if windows is None else windows.shape[0]
    out = values.new_empty(values.shape[0], rows, values.shape[2])
    if out.numel() == 0:
        return out
    if windows is not None:
        queries = _launch_pool(queries, windows, grid_cols, pictures)
    queries = queries if queries.stride(2) == 1 else queries.contiguous()
    if competing:
        token_bias = _launch_columns(queries, keys, beta, token_bias, pictures)

    itemsize = max(values.element_size(), keys.element_size())
    blocks = blocks_for(pictures.num_outputs, values.shape[2], keys.shape[2], itemsize)
    grid = (
        triton.cdiv(pictures.num_outputs, blocks.outputs),
        triton.cdiv(values.shape[2], blocks.channels),
        pictures.count,
    )
    _compress_kernel[grid](
        values,
        queries,
        keys,
        beta.contiguous(),
        token_bias,
        out,
        pictures.cu_tokens,
        pictures.cu_outputs,
        pictures.num_tokens,
        pictures.num_outputs,
        values.shape[2],
        keys.shape[2],
        *_picture_strides(values, pictures),
        *_picture_strides(queries, pictures)[:2],
        *_picture_strides(keys, pictures),
        *_bias_strides(token_bias, pictures),
        RAGGED=pictures.ragged,
        HAS_BIAS=token_bias is not None,
        WIDEN=_INTERPRETED,
        BLOCK_M=blocks.outputs,
        BLOCK_N=blocks.tokens,
        BLOCK_D=blocks.channels,
        BLOCK_C=blocks.key_channels,
        num_warps=blocks.warps,
        num_stages=blocks.stages,
    )
    return out


def _launch_pool(
    queries: Tensor, windows: Tensor, grid_cols: int | Tensor | None, pictures: Pictures
) -> Tensor:
    key_dim = queries.shape[2]
    pooled = queries.new_empty(queries.shape[0], windows.shape[0], key_dim, dtype=torch.float32)
    block_m = 16
    _pool_kernel[(triton.cdiv(pictures.num_outputs, block_m), pictures.count)](
        queries,
        windows.to(torch.int32).contiguous(),
        pooled,
        pictures.cu_tokens,
        pictures.cu_outputs,
        grid_cols,
        pictures.num_tokens,
        pictures.num_outputs,
        key_dim,
        *_picture_strides(queries, pictures),
        RAGGED=pictures.ragged,
        BLOCK_M=block_m,
        BLOCK_C=power_of_two(key_dim, 16, 256),
        num_warps=4,
    )
    return pooled


def _launch_columns(
    queries: Tensor, keys: Tensor, beta: Tensor, token_bias: Tensor | None, pictures: Pictures
) -> Tensor:
    out = keys.new_empty(keys.shape[:2], dtype=torch.float32)
    blocks = column_blocks_for(keys.shape[2])
    _column_kernel[(triton.cdiv(pictures.num_tokens, blocks.tokens), pictures.count)](
        queries,
        keys,
        beta.contiguous(),
        token_bias,
        out,
        pictures.cu_tokens,
        pictures.cu_outputs,
        pictures.num_tokens,
        pictures.num_outputs,
        keys.shape[2],
        *_picture_strides(queries, pictures)[:2],
        *_picture_strides(keys, pictures),
        *_bias_strides(token_bias, pictures),
        RAGGED=pictures.ragged,
        HAS_BIAS=token_bias is not None,
        WIDEN=_INTERPRETED,
        BLOCK_M=blocks.outputs,
        BLOCK_N=blocks.tokens,
        BLOCK_C=blocks.key_channels,
        num_warps=blocks.warps,
        num_stages=blocks.stages,
    )
    return out


def _picture_strides(tensor: Tensor, pictures: Pictures) -> tuple[int, int, int]:
    """Strides of picture, row and channel; packed pictures are found by their first row instead."""
    picture, row, channel = tensor.stride()
    return (0 if pictures.ragged else picture), row, channel


def _bias_strides(token_bias: Tensor | None, pictures: Pictures) -> tuple[int, int]:
    if token_bias is None:
        return 0, 0
    picture, token = token_bias.stride()
    return (0 if pictures.ragged else picture), token


def power_of_two(size: int, low: int, high: int) -> int:
    power: int = triton.next_power_of_2(size)
    return max(low, min(high, power))
