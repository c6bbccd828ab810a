"""Packed pictures in plain PyTorch without reading a size back: for gradients and compilers.

The same formula as `compress_tokens_ragged_reference`, on pictures padded to the largest one.
"""

import torch
from torch import Tensor

from .reference import compression_weights

_NEVER = -1e30  # finite, so that a picture without tokens gives no NaN to the gradients of others


def compress_tokens_padded(
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
    """Arguments as in `compress_tokens_ragged`. Differentiable. Writes P, `[B, M, N]` float32."""
    rows = (queries if windows is None else windows).shape[0]
    if rows == 0:
        return values.new_empty(0, values.shape[1])
    tokens, token_there = _places(cu_tokens, max_tokens)
    outputs, output_there = _places(cu_outputs, max_outputs)
    bias = torch.zeros_like(tokens, dtype=torch.float32)
    if token_bias is not None:
        bias = token_bias[tokens].float()
    bias = bias.masked_fill(~token_there, _NEVER)
    if windows is None or grid_cols is None:
        pooled = queries[outputs]
    else:
        pooled = _pool(queries[tokens], windows[outputs], grid_cols)
    weights = compression_weights(
        pooled,
        keys[tokens],
        beta,
        token_bias=bias,
        output_bias=torch.zeros_like(outputs).float().masked_fill(~output_there, _NEVER),
        competing=competing,
    )
    padded = (weights @ values[tokens].float()).to(values.dtype)
    return padded.flatten(0, 1)[_rows_of(cu_outputs, rows, max_outputs)]


def _places(edges: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """Rows of each picture `[B, longest]`, row 0 where it has no more, and where it has them."""
    place = edges[:-1, None] + torch.arange(longest, device=edges.device)
    there = place < edges[1:, None]
    return place.masked_fill(~there, 0), there


def _rows_of(edges: Tensor, rows: int, longest: int) -> Tensor:
    """Where each packed row is among the padded ones."""
    row = torch.arange(rows, device=edges.device)
    picture = torch.searchsorted(edges[1:].contiguous(), row, right=True)
    return picture * longest + row - edges[picture]


def _pool(queries: Tensor, windows: Tensor, grid_cols: Tensor) -> Tensor:
    """Averages `[B, M, Dc]` of queries `[B, N, Dc]` over windows `[B, M, 4]` of each picture."""
    token = torch.arange(queries.shape[1], device=queries.device)
    row, col = (part[:, None] for part in (token // grid_cols[:, None], token % grid_cols[:, None]))
    row_start, row_stop, col_start, col_stop = windows.unsqueeze(-1).unbind(2)
    inside = (row >= row_start) & (row < row_stop) & (col >= col_start) & (col < col_stop)
    member = inside.float()
    return (member / member.sum(dim=2, keepdim=True).clamp(min=1)) @ queries.float()
