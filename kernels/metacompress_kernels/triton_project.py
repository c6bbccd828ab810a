"""Triton: queries and keys of all tokens in one pass over them, normalisation included.

`layer_norm(x) W + c` needs a row's mean and deviation before its product, which would read X twice.
Since the normalisation is linear in x once both are known,

    layer_norm(x) W = (x W - mean(x) 1^T W) / deviation(x),

one pass gathers product, sum and sum of squares together. X is read once here and once more, as
values, by the compression: twice in all, the least for a softmax that must have seen every token
before the first output is known, unless a picture fits into the chip.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

import torch
import triton
import triton.language as tl
from torch import Tensor

from .triton_compress import _INTERPRETED, _dot, power_of_two

TOKENS, CHANNELS, COLUMNS, STAGES = 32, 64, 128, 3


@triton.jit
def _project_kernel(
    tokens,
    weight,
    column_sum,
    offset,
    out,
    num_tokens,
    hidden,
    width,
    eps,
    stride_xb,
    stride_xn,
    stride_xd,
    NORMALISE: tl.constexpr,
    WIDEN: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """Some tokens of one picture times some columns of the weight."""
    picture = tl.program_id(2).to(tl.int64)
    tokens += picture * stride_xb
    out += picture * num_tokens * width
    token = tl.program_id(1) * BLOCK_T + tl.arange(0, BLOCK_T)
    column = tl.program_id(0) * BLOCK_W + tl.arange(0, BLOCK_W)
    wide_token = token.to(tl.int64)

    product = tl.zeros((BLOCK_T, BLOCK_W), tl.float32)
    total = tl.zeros((BLOCK_T,), tl.float32)
    squares = tl.zeros((BLOCK_T,), tl.float32)
    for start in range(0, hidden, BLOCK_K):
        depth = start + tl.arange(0, BLOCK_K)
        source = tokens + wide_token[:, None] * stride_xn + depth[None, :] * stride_xd
        mask = (token < num_tokens)[:, None] & (depth < hidden)[None, :]
        x = tl.load(source, mask=mask, other=0.0)
        source = weight + depth[:, None] * width + column[None, :]
        w = tl.load(source, mask=(depth < hidden)[:, None] & (column < width)[None, :], other=0.0)
        product += _dot(x.to(w.dtype), w, WIDEN)
        if NORMALISE:
            wide = x.to(tl.float32)
            total += tl.sum(wide, 1)
            squares += tl.sum(wide * wide, 1)
    if NORMALISE:
        mean = total / hidden
        variance = tl.maximum(squares / hidden - mean * mean, 0.0)
        sums = tl.load(column_sum + column, mask=column < width, other=0.0)
        product = (product - mean[:, None] * sums[None, :]) * tl.rsqrt(variance + eps)[:, None]

    mask = (token < num_tokens)[:, None] & (column < width)[None, :]
    place = wide_token[:, None] * width + column[None, :]
    product += tl.load(offset + place, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + place, product.to(out.dtype.element_ty), mask=mask)


def launch_project(tokens: Tensor, weight: Tensor, offset: Tensor, eps: float | None) -> Tensor:
    """`[B, N, D]`, `[D, C]` and `[N, C]` to `[B, N, C]`; arguments as in `project_tokens`."""
    batch, num_tokens, hidden = tokens.shape
    width = weight.shape[1]
    out = weight.new_empty(batch, num_tokens, width)
    if out.numel() == 0:
        return out
    block_w = power_of_two(width, 16, COLUMNS)
    grid = (triton.cdiv(width, block_w), triton.cdiv(num_tokens, TOKENS), batch)
    _project_kernel[grid](
        tokens,
        weight.contiguous(),
        weight.sum(dim=0, dtype=torch.float32),
        offset.contiguous(),
        out,
        num_tokens,
        hidden,
        width,
        0.0 if eps is None else eps,
        *tokens.stride(),
        NORMALISE=eps is not None,
        WIDEN=_INTERPRETED,
        BLOCK_T=TOKENS,
        BLOCK_K=CHANNELS,
        BLOCK_W=block_w,
        num_warps=4,
        num_stages=STAGES,
    )
    return out
