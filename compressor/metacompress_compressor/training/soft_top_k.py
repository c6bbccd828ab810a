"""Top-k that a gradient goes through."""

import torch
from torch import Tensor

_BISECTIONS = 40


def soft_top_k(scores: Tensor, k: int, temperature: float) -> Tensor:
    """Gates in (0, 1) that sum to k: near 1 for the highest scores, near 0 for the others.

    `g_j = sigmoid((s_j - t) / temperature)`, with the threshold t that makes the sum k. A lower
    temperature brings them closer to a choice.

    Args:
        scores: `[B, N]` float32.
        k: 0 < k < N.
        temperature: above 0.

    Returns:
        `[B, N]`, differentiable in the scores, the threshold's part included.

    Raises:
        ValueError: no such k.
    """
    if not 0 < k < scores.shape[1]:
        raise ValueError(f"cannot choose {k} of {scores.shape[1]} tokens softly")
    threshold = _threshold(scores.detach(), k, temperature)
    gates = torch.sigmoid((scores - threshold) / temperature)
    # A Newton step of the sum towards k: nothing in value, in gradient the threshold's derivative.
    slope = (gates * (1 - gates)).sum(dim=1, keepdim=True).detach() / temperature
    tiny = torch.finfo(scores.dtype).tiny
    moved = threshold + (gates.sum(dim=1, keepdim=True) - k) / slope.clamp_min(tiny)
    return torch.sigmoid((scores - moved) / temperature)


def _threshold(scores: Tensor, k: int, temperature: float) -> Tensor:
    """t `[B, 1]` by bisection: the sum of the gates falls as t rises."""
    span = temperature * (scores.shape[1] + 40)
    low = scores.amin(dim=1, keepdim=True) - span
    high = scores.amax(dim=1, keepdim=True) + span
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        too_many = torch.sigmoid((scores - middle) / temperature).sum(dim=1, keepdim=True) > k
        low, high = torch.where(too_many, middle, low), torch.where(too_many, high, middle)
    return (low + high) / 2
