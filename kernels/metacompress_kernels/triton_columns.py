"""Triton: what the competing form adds to the scores, one number for each token."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

import torch
import triton
import triton.language as tl
from torch import Tensor

from .blocks import cdiv, column_blocks
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
    scale,
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
    first_token, n = span(picture, cu_tokens, num_tokens, RAGGED)
    first_output, m = span(picture, cu_outputs, num_outputs, RAGGED)
    queries += picture * stride_qb + first_output * stride_qm
    keys += picture * stride_kb + first_token * stride_kn
    out += first_token if RAGGED else picture * num_tokens

    if (tl.program_id(0) * BLOCK_N >= n) | (m == 0):
        return
    token = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    present = token < n
    channel = tl.arange(0, BLOCK_C)
    source = (
        keys + token.to(tl.int64)[:, None] * stride_kn + channel.to(tl.int64)[None, :] * stride_kc
    )
    key = tl.load(source, mask=present[:, None] & (channel < key_dim)[None, :], other=0.0)

    peak = tl.full((BLOCK_N,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_N,), tl.float32)
    for start in range(0, m, BLOCK_M):
        row = start + tl.arange(0, BLOCK_M)
        query = scaled_queries(
            queries, row, row < m, stride_qm, channel, beta, key_dim, scale, keys.dtype.element_ty
        )
        score = tl.where((row < m)[:, None], dot(query, tl.trans(key), WIDEN), float("-inf"))
        new_peak = tl.maximum(peak, tl.max(score, 0))
        total = total * tl.exp2(peak - new_peak) + tl.sum(tl.exp2(score - new_peak[None, :]), 0)
        peak = new_peak
    result = -(peak + tl.log2(total)) * 0.6931471805599453
    if HAS_BIAS:
        bias = token_bias + picture * stride_bb + (first_token + token) * stride_bn
        result += tl.load(bias, mask=present, other=0.0).to(tl.float32)
    tl.store(out + token, result, mask=present)


def launch_columns(
    queries: Tensor, keys: Tensor, beta: Tensor, token_bias: Tensor | None, pictures: Pictures
) -> Tensor:
    """`[B, N]` fp32: the token's bias less the logarithm of what all outputs give to it."""
    out = keys.new_empty(keys.shape[:2], dtype=torch.float32)
    blocks = column_blocks(keys.shape[2])
    _column_kernel[(cdiv(pictures.num_tokens, blocks.tokens), pictures.count)](
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
        score_scale(keys.shape[2]),
        *picture_strides(queries, pictures)[:2],
        *picture_strides(keys, pictures),
        *bias_strides(token_bias, pictures),
        RAGGED=pictures.ragged,
        HAS_BIAS=token_bias is not None,
        WIDEN=INTERPRETED,
        BLOCK_M=blocks.outputs,
        BLOCK_N=blocks.tokens,
        BLOCK_C=blocks.key_channels,
        num_warps=4,
        num_stages=2,
    )
    return out
