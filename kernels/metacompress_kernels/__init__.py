"""The fused operation of the mapping: pool, score, softmax, weighted sum, without a stored P."""

from .ops import compress_tokens, compress_tokens_ragged, project_tokens
from .reference import (
    compress_tokens_ragged_reference,
    compress_tokens_reference,
    compression_weights,
    pool_windows,
    project_tokens_reference,
)

__all__ = [
    "compress_tokens",
    "compress_tokens_ragged",
    "compress_tokens_ragged_reference",
    "compress_tokens_reference",
    "compression_weights",
    "pool_windows",
    "project_tokens",
    "project_tokens_reference",
]
