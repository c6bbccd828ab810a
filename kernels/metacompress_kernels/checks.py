"""Argument checks of the public operations: every message names what is wrong."""

import torch
from torch import Tensor

from .blocks import WIDEST_KEY

_TRITON_FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def device_of(*arguments: object) -> str:
    """The type of the one device that all tensors among the arguments lie on.

    Raises:
        ValueError: several devices, or one without an implementation.
    """
    devices = {argument.device for argument in arguments if isinstance(argument, Tensor)}
    if len(devices) != 1:
        raise ValueError(f"tensors lie on several devices: {', '.join(sorted(map(str, devices)))}")
    kind = devices.pop().type
    supported = ("cpu",) if torch.version.cuda is None else ("cpu", "cuda")
    if kind not in (*supported, "meta"):
        raise ValueError(f"no implementation for device {kind}; there is one for {supported}")
    return kind


def check_key_dim(keys: Tensor) -> None:
    """Raises ValueError for keys wider than a block of the Triton kernels."""
    if keys.shape[-1] > WIDEST_KEY:
        raise ValueError(f"on CUDA, Dc must be at most {WIDEST_KEY}, not {keys.shape[-1]}")


def check_dtypes(*tensors: Tensor | None) -> None:
    """Raises ValueError for a dtype that the Triton kernels do not take."""
    for tensor in tensors:
        if tensor is not None and tensor.dtype not in _TRITON_FLOATS:
            raise ValueError(f"on CUDA, tensors must be fp32, fp16 or bf16, not {tensor.dtype}")


def check_shapes(
    values: Tensor, queries: Tensor, keys: Tensor, beta: Tensor, token_bias: Tensor | None
) -> None:
    if values.ndim != 3 or values.shape[1] == 0:
        raise ValueError(f"values must be [B, N > 0, D], not {tuple(values.shape)}")
    if not values.is_floating_point():
        raise ValueError(f"values must be floating point, not {values.dtype}")
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


def check_windows(
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


def check_ragged(
    cu_tokens: Tensor, cu_outputs: Tensor, windows: Tensor | None, grid_cols: Tensor | None
) -> None:
    if cu_tokens.ndim != 1 or cu_tokens.shape[0] == 0 or cu_tokens.shape != cu_outputs.shape:
        raise ValueError(
            "cu_tokens and cu_outputs must both be [B + 1], not "
            f"{tuple(cu_tokens.shape)} and {tuple(cu_outputs.shape)}"
        )
    if (windows is None) != (grid_cols is None):
        raise ValueError("windows and grid_cols go together: give both or neither")
    if windows is None or grid_cols is None:
        return
    if windows.ndim != 2 or windows.shape[1] != 4:
        raise ValueError(f"windows must be [M, 4], not {tuple(windows.shape)}")
    if grid_cols.shape != (cu_tokens.shape[0] - 1,):
        raise ValueError(
            f"grid_cols must be [{cu_tokens.shape[0] - 1}], not {tuple(grid_cols.shape)}"
        )


def check_projection(
    tokens: Tensor, weight: Tensor, offset: Tensor, column_sum: Tensor | None
) -> None:
    if tokens.ndim != 3:
        raise ValueError(f"tokens must be [B, N, D], not {tuple(tokens.shape)}")
    _, num_tokens, hidden = tokens.shape
    if weight.ndim != 2 or weight.shape[0] != hidden:
        raise ValueError(f"weight must be [{hidden}, C], not {tuple(weight.shape)}")
    if offset.shape != (num_tokens, weight.shape[1]):
        raise ValueError(
            f"offset must be [{num_tokens}, {weight.shape[1]}], not {tuple(offset.shape)}"
        )
    if column_sum is not None and (
        column_sum.shape != (weight.shape[1],) or column_sum.dtype != torch.float32
    ):
        raise ValueError(
            f"column_sum must be [{weight.shape[1]}] of float32, "
            f"not {tuple(column_sum.shape)} of {column_sum.dtype}"
        )
