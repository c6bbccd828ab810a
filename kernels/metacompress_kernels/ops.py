"""The public operation: checks its arguments and picks the implementation of the device."""

from torch import Tensor

from .reference import compress_tokens_reference


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
        ValueError: shapes that do not fit together.
    """
    _check_shapes(values, queries, keys, beta, token_bias)
    _check_windows(windows, grid_cols, queries.shape[1], values.shape[1])
    return compress_tokens_reference(
        values,
        queries,
        keys,
        beta,
        windows=windows,
        grid_cols=grid_cols,
        token_bias=token_bias,
        competing=competing,
    )


def _check_shapes(
    values: Tensor,
    queries: Tensor,
    keys: Tensor,
    beta: Tensor,
    token_bias: Tensor | None,
) -> None:
    if values.ndim != 3 or values.shape[1] == 0:
        raise ValueError(f"values must be [B, N > 0, D], not {tuple(values.shape)}")
    batch, num_tokens, _ = values.shape
    if keys.ndim != 3 or keys.shape[:2] != (batch, num_tokens):
        raise ValueError(f"keys must be [{batch}, {num_tokens}, Dc], not {tuple(keys.shape)}")
    key_dim = keys.shape[2]
    if queries.ndim != 3 or queries.shape[0] != batch or queries.shape[2] != key_dim:
        raise ValueError(f"queries must be [{batch}, M, {key_dim}], not {tuple(queries.shape)}")
    if beta.shape != (key_dim,):
        raise ValueError(f"beta must be [{key_dim}], not {tuple(beta.shape)}")
    if token_bias is not None and token_bias.shape != (batch, num_tokens):
        raise ValueError(
            f"token_bias must be [{batch}, {num_tokens}], not {tuple(token_bias.shape)}"
        )


def _check_windows(
    windows: Tensor | None, grid_cols: int | None, num_queries: int, num_tokens: int
) -> None:
    if (windows is None) != (grid_cols is None):
        raise ValueError("windows and grid_cols go together: give both or neither")
    if windows is None or grid_cols is None:
        return
    if windows.ndim != 2 or windows.shape[1] != 4:
        raise ValueError(f"windows must be [M, 4], not {tuple(windows.shape)}")
    if num_queries != num_tokens:
        raise ValueError(f"with windows, queries must be those of all {num_tokens} tokens")
    if grid_cols < 1 or num_tokens % grid_cols:
        raise ValueError(f"grid_cols {grid_cols} does not divide {num_tokens} tokens into rows")
