"""The Triton kernels as `torch.library` operations: compilable, capturable, differentiable.

Backward recomputes the plain PyTorch formula. A backward kernel would not be noticed: with
LLaVA-1.5 (576 tokens to 58, D = 4,096, Dc = 128) forward, backward and the recomputation are about
6 GFLOP a picture, forward and backward of a frozen 7B language model over 160 tokens 4,500; and P
is 134 KB next to that model's gigabytes of activations.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .padded import compress_tokens_padded
from .reference import compress_tokens_reference, project_tokens_reference
from .triton_common import Pictures
from .triton_compress import launch_compress
from .triton_project import launch_project


@torch.library.custom_op("metacompress::compress_tokens", mutates_args=())
def compress_tokens_op(
    values: Tensor,
    queries: Tensor,
    keys: Tensor,
    beta: Tensor,
    windows: Tensor | None,
    grid_cols: int | None,
    token_bias: Tensor | None,
    competing: bool,
) -> Tensor:
    """See `metacompress_kernels.compress_tokens`."""
    outputs = queries.shape[1] if windows is None else windows.shape[0]
    pictures = Pictures(values.shape[0], values.shape[1], outputs)
    return launch_compress(
        values, queries, keys, beta, windows, grid_cols, token_bias, competing, pictures
    )


@compress_tokens_op.register_fake
def _(
    values: Tensor,
    queries: Tensor,
    keys: Tensor,
    beta: Tensor,
    windows: Tensor | None,
    grid_cols: int | None,
    token_bias: Tensor | None,
    competing: bool,
) -> Tensor:
    outputs = queries.shape[1] if windows is None else windows.shape[0]
    return values.new_empty(values.shape[0], outputs, values.shape[2])


@torch.library.custom_op("metacompress::compress_tokens_ragged", mutates_args=())
def compress_tokens_ragged_op(
    values: Tensor,
    queries: Tensor,
    keys: Tensor,
    beta: Tensor,
    cu_tokens: Tensor,
    cu_outputs: Tensor,
    max_tokens: int,
    max_outputs: int,
    windows: Tensor | None,
    grid_cols: Tensor | None,
    token_bias: Tensor | None,
    competing: bool,
) -> Tensor:
    """See `metacompress_kernels.compress_tokens_ragged`."""
    pictures = Pictures(
        cu_tokens.shape[0] - 1,
        max_tokens,
        max_outputs,
        cu_tokens.to(torch.int32).contiguous(),
        cu_outputs.to(torch.int32).contiguous(),
    )
    out = launch_compress(
        values.unsqueeze(0),
        queries.unsqueeze(0),
        keys.unsqueeze(0),
        beta,
        windows,
        grid_cols,
        None if token_bias is None else token_bias.unsqueeze(0),
        competing,
        pictures,
    )
    return out.squeeze(0)


@compress_tokens_ragged_op.register_fake
def _(
    values: Tensor,
    queries: Tensor,
    keys: Tensor,
    beta: Tensor,
    cu_tokens: Tensor,
    cu_outputs: Tensor,
    max_tokens: int,
    max_outputs: int,
    windows: Tensor | None,
    grid_cols: Tensor | None,
    token_bias: Tensor | None,
    competing: bool,
) -> Tensor:
    rows = queries.shape[0] if windows is None else windows.shape[0]
    return values.new_empty(rows, values.shape[1])


@torch.library.custom_op("metacompress::project_tokens", mutates_args=())
def project_tokens_op(
    tokens: Tensor,
    weight: Tensor,
    offset: Tensor,
    eps: float | None,
    column_sum: Tensor | None = None,
) -> Tensor:
    """See `metacompress_kernels.project_tokens`."""
    return launch_project(tokens, weight, offset, eps, column_sum)


@project_tokens_op.register_fake
def _(
    tokens: Tensor,
    weight: Tensor,
    offset: Tensor,
    eps: float | None,
    column_sum: Tensor | None = None,
) -> Tensor:
    return weight.new_empty(tokens.shape[0], tokens.shape[1], weight.shape[1])


def _differentiate_through(op: Any, reference: Callable[..., Tensor]) -> None:
    """Give `op` the gradients of `reference`, which takes the same arguments in the same order."""

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.others = [None if isinstance(value, Tensor) else value for value in inputs]
        ctx.places = [i for i, value in enumerate(inputs) if isinstance(value, Tensor)]
        ctx.save_for_backward(*(value for value in inputs if isinstance(value, Tensor)))

    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        arguments = list(ctx.others)
        for place, tensor in zip(ctx.places, ctx.saved_tensors, strict=True):
            needed = ctx.needs_input_grad[place]
            arguments[place] = tensor.detach().requires_grad_(needed)
        wanted = [place for place in ctx.places if ctx.needs_input_grad[place]]
        with torch.enable_grad():
            out = reference(*arguments)
        found = torch.autograd.grad(
            out, [arguments[place] for place in wanted], gradient, allow_unused=True
        )
        gradients: list[Tensor | None] = [None] * len(arguments)
        for place, value in zip(wanted, found, strict=True):
            gradients[place] = value
        return tuple(gradients)

    op.register_autograd(backward, setup_context=setup_context)


_differentiate_through(compress_tokens_op, compress_tokens_reference)
_differentiate_through(compress_tokens_ragged_op, compress_tokens_padded)
_differentiate_through(project_tokens_op, project_tokens_reference)
