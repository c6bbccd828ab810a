"""The truth beside every kernel: the mapping's formula in plain PyTorch, fp32 inside."""

import math

import torch
from torch import Tensor


def pooling_matrix(
    windows: Tensor, num_tokens: int, grid_cols: int, dtype: torch.dtype = torch.float32
) -> Tensor:
    """The averaging over windows as a matrix with rows that sum to one.

    Args:
        windows: `[M, 4]` integers, each row `(row_start, row_stop, col_start, col_stop)`.
        num_tokens: N, tokens of the picture in row-major order.
        grid_cols: tokens in one row of the picture.
        dtype: of the result.

    Returns:
        `[M, N]` in `dtype`.
    """
    token = torch.arange(num_tokens, device=windows.device)
    row, col = token // grid_cols, token % grid_cols
    row_start, row_stop, col_start, col_stop = windows.unsqueeze(-1).unbind(1)
    inside = (row >= row_start) & (row < row_stop) & (col >= col_start) & (col < col_stop)
    member = inside.to(dtype)
    return member / member.sum(dim=1, keepdim=True)


def pool_windows(tokens: Tensor, windows: Tensor, grid_cols: int) -> Tensor:
    """Average `tokens` `[B, N, C]` over each window: `[B, M, C]` float32."""
    return pooling_matrix(windows, tokens.shape[1], grid_cols) @ tokens.float()


def compression_weights(
    queries: Tensor,
    keys: Tensor,
    beta: Tensor,
    *,
    token_bias: Tensor | None = None,
    output_bias: Tensor | None = None,
    competing: bool = False,
) -> Tensor:
    """The mapping's matrix P, which kernels never write.

    Row form:       `S = Q diag(beta) K^T / sqrt(Dc)`, `P = softmax_rows(S + b)`.
    Competing form: `A = softmax_columns(S)`, `P_ij = A_ij e^{b_j} / sum_j A_ij e^{b_j}`; that is
    `softmax_rows(S + b - logsumexp_columns(S))`, so both forms are one row softmax.

    Args:
        queries: `[B, M, Dc]` pooled queries.
        keys: `[B, N, Dc]`.
        beta: `[Dc]`, the diagonal.
        token_bias: `[B, N]`, b above: the logarithm of each token's weight.
        output_bias: `[B, M]`, added to every output's scores where outputs compete: very small for
            one that takes no part. Without competition it would change nothing.
        competing: outputs compete for every token before the rows are normalised.

    Returns:
        `[B, M, N]` float32, not negative, rows sum to one.

    Source: arXiv 2603.21701 (row form); the competing form is this project's.
    """
    scaled_queries = queries.float() * (beta.float() / math.sqrt(keys.shape[-1]))
    scores = scaled_queries @ keys.float().transpose(1, 2)
    if competing:
        rivals = scores if output_bias is None else scores + output_bias.unsqueeze(2)
        scores = scores - rivals.logsumexp(dim=1, keepdim=True)
    if token_bias is not None:
        scores = scores + token_bias.float().unsqueeze(1)
    return scores.softmax(dim=-1)


def compress_tokens_reference(
    values: Tensor,
    queries: Tensor,
    keys: Tensor,
    beta: Tensor,
    windows: Tensor | None = None,
    grid_cols: int | None = None,
    token_bias: Tensor | None = None,
    competing: bool = False,
) -> Tensor:
    """`P @ values` with P from `compression_weights`; arguments as in `compress_tokens`.

    Differentiable. Writes P: `[B, M, N]` float32.
    """
    if windows is not None:
        queries = pool_windows(queries, windows, grid_cols or values.shape[1])
    weights = compression_weights(queries, keys, beta, token_bias=token_bias, competing=competing)
    return (weights @ values.float()).to(values.dtype)


def compress_tokens_ragged_reference(
    values: Tensor,
    queries: Tensor,
    keys: Tensor,
    beta: Tensor,
    cu_tokens: Tensor,
    cu_outputs: Tensor,
    max_tokens: int,
    max_outputs: int,
    windows: Tensor | None = None,
    grid_cols: Tensor | None = None,
    token_bias: Tensor | None = None,
    competing: bool = False,
) -> Tensor:
    """Picture by picture; arguments as in `compress_tokens_ragged`. The maxima are not needed."""
    token_edges, output_edges = cu_tokens.tolist(), cu_outputs.tolist()
    compressed = []
    for picture in range(len(token_edges) - 1):
        tokens = slice(token_edges[picture], token_edges[picture + 1])
        outputs = slice(output_edges[picture], output_edges[picture + 1])
        compressed.append(
            compress_tokens_reference(
                values[None, tokens],
                queries[None, outputs if windows is None else tokens],
                keys[None, tokens],
                beta,
                None if windows is None else windows[outputs],
                None if grid_cols is None else int(grid_cols[picture]),
                None if token_bias is None else token_bias[None, tokens],
                competing,
            )[0]
        )
    return torch.cat(compressed) if compressed else values.new_empty(0, values.shape[1])


def project_tokens_reference(
    tokens: Tensor,
    weight: Tensor,
    offset: Tensor,
    eps: float | None,
    column_sum: Tensor | None = None,
) -> Tensor:
    """`layer_norm(x) W + c`; arguments as in `project_tokens`. The sums are not needed here."""
    wide = tokens.to(weight.dtype)
    if eps is not None:
        wide = torch.nn.functional.layer_norm(wide, (wide.shape[-1],), eps=eps)
    return wide @ weight + offset
