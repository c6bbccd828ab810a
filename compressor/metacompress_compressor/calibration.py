"""How soft the rows of P are at the start: beta is set on real visual tokens."""

import torch
from torch import Tensor

from metacompress_kernels import pool_windows

from .mapping import TokenMapping
from .window_tensors import window_tensor
from .windows import Grid, compressed_grid, pooling_grid


@torch.no_grad()
def window_mass(mapping: TokenMapping, x: Tensor, grid: Grid, retention_ratio: float) -> float:
    """The share of its weight that a row of P keeps inside its own pooling window, on average.

    Args as `TokenMapping.forward`. Returns a number in (0, 1].
    """
    weights = mapping.weights(x, grid, retention_ratio)
    compressed = compressed_grid(grid, retention_ratio, mapping.windows)
    windows = window_tensor(grid, compressed, mapping.windows, x.device)
    source = pooling_grid(grid, compressed, mapping.windows)
    one_hot = torch.eye(grid.num_tokens, device=x.device).unsqueeze(0)
    inside = pool_windows(one_hot, windows, source.cols) > 0
    return float((weights * inside).sum(dim=-1).mean())


@torch.no_grad()
def calibrate_beta(
    mapping: TokenMapping,
    x: Tensor,
    grid: Grid,
    retention_ratio: float,
    target_mass: float = 0.7,
) -> float:
    """Set every entry of beta so that rows start with about `target_mass` inside their windows.

    The right value depends on the projector's outputs, so it is searched on real embeddings: a
    sharper softmax keeps more mass in the window only as long as a window's own tokens are those
    most like its average.

    Args:
        mapping: changed in place.
        x: `[B, N, D]` visual tokens of some pictures.
        grid, retention_ratio: as in `TokenMapping.forward`.
        target_mass: in (0, 1); 0.5 to 0.9 is where training starts well.

    Returns:
        The mass reached, by the softest rows that reach the target; where none do, by the softest
        that come within 0.02 of the best.
    """

    def mass_at(beta: float) -> float:
        mapping.beta.fill_(beta)
        return window_mass(mapping, x, grid, retention_ratio)

    betas = torch.logspace(-2, 3, 61).tolist()
    masses = [mass_at(beta) for beta in betas]
    goal = min(target_mass, max(masses) - 0.02)
    softest = next(beta for beta, mass in zip(betas, masses, strict=True) if mass >= goal)
    return mass_at(softest)
