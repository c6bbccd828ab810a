"""The fused operation of the mapping: pool, score, softmax, weighted sum, without a stored P."""

from .ops import compress_tokens
from .reference import compress_tokens_reference, compression_weights, pool_windows

__all__ = [
    "compress_tokens",
    "compress_tokens_reference",
    "compression_weights",
    "pool_windows",
]
