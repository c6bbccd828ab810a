"""Random arguments, and the formula in fp64 written from its definition."""

import math

import torch


def exact(values, queries, keys, beta, windows, grid_cols, token_bias, competing):
    """Compressed tokens `[B, M, D]` in fp64; arguments as in `compress_tokens`."""
    queries = queries.double()
    if windows is not None:
        picture = queries.unflatten(1, (-1, grid_cols))
        queries = torch.stack(
            [
                picture[:, top:bottom, left:right].flatten(1, 2).mean(1)
                for top, bottom, left, right in windows.tolist()
            ],
            dim=1,
        )
    scores = torch.einsum("bmc,c,bnc->bmn", queries, beta.double(), keys.double())
    scores = scores / math.sqrt(keys.shape[-1])
    logarithm = scores.log_softmax(dim=1) if competing else scores
    if token_bias is not None:
        logarithm = logarithm + token_bias.double().unsqueeze(1)
    return logarithm.softmax(dim=-1) @ values.double()


def random_case(
    batch=2, tokens=35, outputs=6, hidden=24, key_dim=16, dtype=torch.float32, device="cpu", seed=0
):
    """Positional arguments of the dense operation, queries pooled already."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator).to(device, dtype)

    return [
        normal(batch, tokens, hidden),
        normal(batch, outputs, key_dim),
        normal(batch, tokens, key_dim),
        normal(key_dim),
        None,
        None,
        normal(batch, tokens),
        False,
    ]


def relative_error(got, want):
    """Root mean square of the error over that of the truth."""
    return ((got.double() - want).square().mean().sqrt() / want.square().mean().sqrt()).item()
