"""Triton: what the kernels share, and where pictures lie in their tensors."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

import math
from dataclasses import dataclass

import triton
import triton.language as tl
from torch import Tensor

INTERPRETED: bool = triton.knobs.runtime.interpret


@triton.jit
def span(picture, cumulative, fixed, RAGGED: tl.constexpr):
    """First row of a picture and its number of rows; dense pictures start at 0 of their own."""
    if RAGGED:
        first = tl.load(cumulative + picture).to(tl.int64)
        return first, (tl.load(cumulative + picture + 1) - first).to(tl.int32)
    return tl.zeros((), tl.int64), fixed


@triton.jit
def dot(a, b, WIDEN: tl.constexpr):
    """Matrix product in fp32. The interpreter gets bf16 products wrong, so it is given fp32."""
    if WIDEN:
        return tl.dot(a.to(tl.float32), b.to(tl.float32))
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def scaled_queries(
    queries, row, inside, stride_m, channel, beta, key_dim, scale, dtype: tl.constexpr
):
    """`Q diag(beta)` times `score_scale` for some rows: scores come out in units of log 2."""
    mask = inside[:, None] & (channel < key_dim)[None, :]
    block = tl.load(
        queries + row.to(tl.int64)[:, None] * stride_m + channel[None, :], mask=mask, other=0.0
    )
    factor = tl.load(beta + channel, mask=channel < key_dim, other=0.0).to(tl.float32)
    return (block.to(tl.float32) * (factor * scale)[None, :]).to(dtype)


def score_scale(key_dim: int) -> float:
    """`log2(e) / sqrt(Dc)`: the scale of the scores, and the change from exp to exp2."""
    return math.log2(math.e) / math.sqrt(key_dim)


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


def picture_strides(tensor: Tensor, pictures: Pictures) -> tuple[int, int, int]:
    """Strides of picture, row and channel; packed pictures are found by their first row instead."""
    picture, row, channel = tensor.stride()
    return (0 if pictures.ragged else picture), row, channel


def bias_strides(token_bias: Tensor | None, pictures: Pictures) -> tuple[int, int]:
    if token_bias is None:
        return 0, 0
    picture, token = token_bias.stride()
    return (0 if pictures.ragged else picture), token
