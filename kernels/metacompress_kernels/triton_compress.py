"""Triton: scores, softmax and weighted sum in one pass over the tokens; P never leaves the chip.

A program holds one block of outputs and one block of channels, walks over all tokens of a picture
with the running maximum and sum of an online softmax, and throws its scores away. Queries are
pooled before (`triton_pool`), and the competing form's column sums gathered (`triton_columns`).

Floor for N tokens and M outputs: `N (D + Dc)` numbers read and `M D` written, `2 M N (D + Dc)`
operations. Written P would add `2 M N` numbers. Of this floor the kernel reaches, by construction:

* bytes: from memory, the floor, as long as the programs of a picture run side by side and find its
  tokens in the L2 cache, from which values come `M / block of outputs` times;
* operations: scores are computed again for each block of channels, `2 M N (D + Dc D / block)`: half
  more than the floor's at blocks of 256 and Dc = 128.

Each value in bf16 serves M multiply-adds, so below about 300 outputs an H100 waits for its memory
and above for its tensor cores. There, recomputed scores cost time that a written P would not.

A picture's result never depends on the contents of others. Blocks follow from all sizes, the number
of pictures among them, so the same picture in a larger batch may differ in its last bits.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

import triton
import triton.language as tl
from torch import Tensor

from .blocks import cdiv, compress_blocks
from .triton_columns import launch_columns
from .triton_common import (
    INTERPRETED,
    Pictures,
    bias_strides,
    dot,
    picture_strides,
    scaled_queries,
    score_scale,
    span,
)
from .triton_pool import launch_pool


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
    scale,
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
    # Backwards: what the projection read last is still in the L2 cache.
    picture = (tl.num_programs(2) - 1 - tl.program_id(2)).to(tl.int64)
    first_token, n = span(picture, cu_tokens, num_tokens, RAGGED)
    first_output, m = span(picture, cu_outputs, num_outputs, RAGGED)
    values += picture * stride_vb + first_token * stride_vn
    keys += picture * stride_kb + first_token * stride_kn
    queries += picture * stride_qb + first_output * stride_qm
    out += (first_output if RAGGED else picture * num_outputs) * hidden

    if tl.program_id(0) * BLOCK_M >= m:
        return
    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    depth = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    channel = tl.arange(0, BLOCK_C)
    query = scaled_queries(
        queries, row, row < m, stride_qm, channel, beta, key_dim, scale, keys.dtype.element_ty
    )

    peak = tl.full((BLOCK_M,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_M,), tl.float32)
    result = tl.zeros((BLOCK_M, BLOCK_D), tl.float32)
    for start in range(0, n, BLOCK_N):
        token = start + tl.arange(0, BLOCK_N)
        present = token < n
        wide_token = token.to(tl.int64)
        source = keys + wide_token[:, None] * stride_kn + channel.to(tl.int64)[None, :] * stride_kc
        key = tl.load(source, mask=present[:, None] & (channel < key_dim)[None, :], other=0.0)
        score = dot(query, tl.trans(key), WIDEN)
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
        source = values + wide_token[:, None] * stride_vn + depth.to(tl.int64)[None, :] * stride_vd
        value = tl.load(source, mask=present[:, None] & (depth < hidden)[None, :], other=0.0)
        result = result * correction[:, None] + dot(weight.to(value.dtype), value, WIDEN)
        peak = new_peak
    target = out + row.to(tl.int64)[:, None] * hidden + depth[None, :]
    mask = (row < m)[:, None] & (depth < hidden)[None, :]
    tl.store(target, (result / total[:, None]).to(out.dtype.element_ty), mask=mask)


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
        queries = launch_pool(queries, windows, grid_cols, pictures)
    queries = queries if queries.stride(2) == 1 else queries.contiguous()
    if competing:
        token_bias = launch_columns(queries, keys, beta, token_bias, pictures)

    itemsize = max(values.element_size(), keys.element_size())
    hidden, key_dim = values.shape[2], keys.shape[2]
    blocks = compress_blocks(
        pictures.count, pictures.num_tokens, pictures.num_outputs, hidden, key_dim, itemsize
    )
    grid = (
        cdiv(pictures.num_outputs, blocks.outputs),
        cdiv(hidden, blocks.channels),
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
        hidden,
        key_dim,
        score_scale(key_dim),
        *picture_strides(values, pictures),
        *picture_strides(queries, pictures)[:2],
        *picture_strides(keys, pictures),
        *bias_strides(token_bias, pictures),
        RAGGED=pictures.ragged,
        HAS_BIAS=token_bias is not None,
        WIDEN=INTERPRETED,
        BLOCK_M=blocks.outputs,
        BLOCK_N=blocks.tokens,
        BLOCK_D=blocks.channels,
        BLOCK_C=blocks.key_channels,
        num_warps=blocks.warps,
        num_stages=blocks.stages,
    )
    return out
