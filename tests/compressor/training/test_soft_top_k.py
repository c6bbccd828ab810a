"""Soft top-k: sums, limits, and the gradient against finite differences."""

import pytest
import torch

from metacompress_compressor.training.soft_top_k import soft_top_k


@pytest.mark.parametrize("k", [1, 7, 31])
@pytest.mark.parametrize("temperature", [0.05, 1.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test_gates_sum_to_k(k: int, temperature: float, scale: float):
    gates = soft_top_k(scale * torch.randn(3, 32), k, temperature)
    assert torch.allclose(gates.sum(dim=1), torch.full((3,), float(k)), atol=2e-3 * k)
    assert gates.min() >= 0
    assert gates.max() <= 1


def test_a_low_temperature_chooses_the_highest_scores():
    scores = torch.randn(4, 50, generator=torch.Generator().manual_seed(1))
    gates = soft_top_k(scores, 9, 1e-4)
    chosen = torch.zeros_like(scores).scatter(1, scores.topk(9).indices, 1.0)
    assert torch.allclose(gates, chosen, atol=1e-2)


def test_the_gradient_is_that_of_the_whole_function():
    scores = torch.randn(2, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: soft_top_k(s, 5, 0.7), (scores,), atol=1e-4)


@pytest.mark.parametrize("k", [0, 12, 13])
def test_a_k_that_chooses_nothing_or_everything_is_refused(k: int):
    with pytest.raises(ValueError, match=f"{k} of 12"):
        soft_top_k(torch.randn(1, 12), k, 1.0)
