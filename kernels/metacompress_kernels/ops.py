"""The public operations: they check their arguments and pick the implementation of the device.

CPU tensors go to plain PyTorch, CUDA tensors to Triton; anything else is refused, never guessed.
"""

import torch
from torch import Tensor

from . import checks
from .padded import compress_tokens_padded
from .reference import (
    compress_tokens_ragged_reference,
    compress_tokens_reference,
    project_tokens_reference,
)

if torch.version.cuda is not None:  # a CUDA build of PyTorch brings Triton with it
    from .library import compress_tokens_op, compress_tokens_ragged_op, project_tokens_op


def compress_tokens(
    values: Tensor,
    queries: Tensor,
    keys: Tensor,
    beta: Tensor,
    *,
    windows: Tensor | None = None,
    grid_cols: int | None = None,
    token_bias: Tensor | None = None,
    competing: bool = False,
) -> Tensor:
    """Compress each picture's N visual tokens to M.

    `softmax_rows(pool(Q) diag(beta) K^T / sqrt(Dc) + b) @ V`, softmax and accumulation in fp32;
    the competing form first divides every token's scores among the outputs
    (see `compression_weights`).

    Args:
        values: `[B, N, D]` visual tokens; fp32, fp16 or bf16.
        queries: `[B, M, Dc]` pooled queries; with `windows`, the queries of all tokens
            `[B, N, Dc]`, which are then averaged over each window.
        keys: `[B, N, Dc]`.
        beta: `[Dc]`, the diagonal.
        windows: `[M, 4]` int32 rows `(row_start, row_stop, col_start, col_stop)`, none empty;
            None if the queries are pooled already.
        grid_cols: tokens in one row of the picture; needed with `windows`. For 1-D windows the
            picture is one row: `(0, 1, start, stop)` and `grid_cols = N`.
        token_bias: `[B, N]` added to every row's scores: the logarithm of the token's weight.
        competing: outputs compete for each token before rows are normalised.

    Returns:
        `[B, M, D]` in the dtype of `values`.

    Raises:
        ValueError: shapes that do not fit together, or a device or dtype without an
            implementation.
    """
    checks.check_shapes(values, queries, keys, beta, token_bias)
    checks.check_windows(windows, grid_cols, queries.shape[1], values.shape[1])
    arguments = (values, queries, keys, beta, windows, grid_cols, token_bias, competing)
    if checks.device_of(*arguments) == "cuda":
        checks.check_dtypes(values, queries, keys, beta, token_bias)
        checks.check_key_dim(keys)
        compressed: Tensor = compress_tokens_op(*arguments)
        return compressed
    return compress_tokens_reference(*arguments)


def compress_tokens_ragged(
    values: Tensor,
    queries: Tensor,
    keys: Tensor,
    beta: Tensor,
    cu_tokens: Tensor,
    cu_outputs: Tensor,
    max_tokens: int,
    max_outputs: int,
    *,
    windows: Tensor | None = None,
    grid_cols: Tensor | None = None,
    token_bias: Tensor | None = None,
    competing: bool = False,
) -> Tensor:
    """Compress pictures of different sizes and budgets, packed one after another, in one launch.

    Args:
        values: `[T, D]` visual tokens of all pictures.
        queries: `[S, Dc]` pooled queries of all pictures, or `[T, Dc]` with `windows`.
        keys: `[T, Dc]`.
        beta: `[Dc]`.
        cu_tokens, cu_outputs: `[B + 1]` integers: picture b has tokens `cu_tokens[b]` up to
            `cu_tokens[b + 1]` and outputs likewise. Every picture with outputs has tokens.
        max_tokens, max_outputs: of the largest picture, so that no value is read back.
        windows: `[S, 4]`, counted within each picture.
        grid_cols: `[B]` integers, with `windows`.
        token_bias: `[T]`.
        competing: as in `compress_tokens`; outputs compete within their picture.

    Returns:
        `[S, D]` in the dtype of `values`.

    Raises:
        ValueError: as `compress_tokens`. The contents of `cu_tokens` and `cu_outputs` are trusted.
    """
    bias = None if token_bias is None else token_bias.unsqueeze(0)
    packed = [tensor.unsqueeze(0) for tensor in (values, queries, keys)]
    checks.check_shapes(packed[0], packed[1], packed[2], beta, bias)
    checks.check_ragged(cu_tokens, cu_outputs, windows, grid_cols)
    arguments = (
        values,
        queries,
        keys,
        beta,
        cu_tokens,
        cu_outputs,
        max_tokens,
        max_outputs,
        windows,
        grid_cols,
        token_bias,
        competing,
    )
    if checks.device_of(*arguments) == "cuda":
        checks.check_dtypes(values, queries, keys, beta, token_bias)
        checks.check_key_dim(keys)
        compressed: Tensor = compress_tokens_ragged_op(*arguments)
        return compressed
    if torch.compiler.is_compiling():  # picture by picture would read their sizes back
        return compress_tokens_padded(*arguments)
    return compress_tokens_ragged_reference(*arguments)


def project_tokens(
    tokens: Tensor,
    weight: Tensor,
    offset: Tensor,
    *,
    eps: float | None = 1e-5,
    column_sum: Tensor | None = None,
) -> Tensor:
    """Project every token, normalised first: `layer_norm(x) W + c`.

    With `W = [Wq | Wk]` this gives queries and keys of all tokens in one pass over X. Pooling the
    queries afterwards is the same as pooling the normalised tokens first, because both are linear;
    it projects N rows instead of M, but tokens can only be normalised, and so pooled, once they
    have been read to the end, and reading them again costs more (docs/kernels.md).

    Args:
        tokens: `[B, N, D]`, any float dtype.
        weight: `[D, C]`.
        offset: `[N, C]`, the projected position code.
        eps: of the normalisation, which has no parameters; None for none.
        column_sum: `[C]` float32, the weight summed over D, for callers that project by the same
            weight again; None to sum it here, which on CUDA is a launch more.

    Returns:
        `[B, N, C]` in the dtype of `weight`, accumulated in fp32 on CUDA.

    Raises:
        ValueError: as `compress_tokens`.
    """
    checks.check_projection(tokens, weight, offset, column_sum)
    if checks.device_of(tokens, weight, offset, column_sum) == "cuda":
        checks.check_dtypes(tokens, weight, offset)
        projected: Tensor = project_tokens_op(tokens, weight, offset, eps, column_sum)
        return projected
    return project_tokens_reference(tokens, weight, offset, eps)
