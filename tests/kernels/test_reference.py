"""The reference against fp64 and against PyTorch's own pooling."""

import math

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool1d, adaptive_avg_pool2d

from metacompress_compressor.windows import Grid, window_ranges
from metacompress_kernels import compress_tokens, compression_weights, pool_windows


def exact(values, queries, keys, beta, token_bias, competing):
    """The formula in fp64, written from its definition and not from the identity used in fp32."""
    scores = torch.einsum("bmc,c,bnc->bmn", queries.double(), beta.double(), keys.double())
    scores = scores / math.sqrt(keys.shape[-1])
    weight = torch.zeros_like(scores[:, 0]) if token_bias is None else token_bias.double()
    unnormalised = scores.softmax(dim=1) if competing else (scores - scores.amax()).exp()
    unnormalised = unnormalised * weight.exp().unsqueeze(1)
    return (unnormalised / unnormalised.sum(-1, keepdim=True)) @ values.double()


def random_case(batch=2, tokens=35, outputs=6, hidden=24, key_dim=16, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    return {
        "values": normal(batch, tokens, hidden),
        "queries": normal(batch, outputs, key_dim),
        "keys": normal(batch, tokens, key_dim),
        "beta": normal(key_dim),
        "token_bias": normal(batch, tokens),
    }


@pytest.mark.parametrize("competing", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(("tokens", "outputs"), [(35, 6), (35, 1), (7, 7), (1, 1)])
def test_matches_fp64(competing, biased, tokens, outputs):
    case = random_case(tokens=tokens, outputs=outputs)
    if not biased:
        case["token_bias"] = None
    torch.testing.assert_close(
        compress_tokens(**case, competing=competing).double(),
        exact(**case, competing=competing),
        rtol=1e-5,
        atol=1e-5,
    )


def test_window_ranges_are_adaptive_average_pooling():
    grid, tokens = Grid(7, 9), torch.randn(2, 63, 5)
    windows = torch.tensor(window_ranges(grid, Grid(3, 4), "2d"))
    as_picture = tokens.transpose(1, 2).reshape(2, 5, 7, 9)
    expected = adaptive_avg_pool2d(as_picture, (3, 4)).flatten(2).transpose(1, 2)
    torch.testing.assert_close(pool_windows(tokens, windows, 9), expected)

    windows = torch.tensor(window_ranges(grid, Grid(1, 10), "1d"))
    expected = adaptive_avg_pool1d(tokens.transpose(1, 2), 10).transpose(1, 2)
    torch.testing.assert_close(pool_windows(tokens, windows, 63), expected)


def test_windows_inside_the_op_equal_pooled_queries():
    case = random_case(outputs=35)
    windows = torch.tensor(window_ranges(Grid(5, 7), Grid(2, 3), "2d"))
    pooled = {**case, "queries": pool_windows(case["queries"], windows, 7)}
    torch.testing.assert_close(
        compress_tokens(**case, windows=windows, grid_cols=7), compress_tokens(**pooled)
    )


def test_one_hot_rows_reproduce_equidistant_sampling():
    tokens, outputs = 40, 7
    kept = torch.linspace(0, tokens - 1, outputs).round().long()
    keys = torch.eye(tokens).unsqueeze(0)
    values = torch.randn(1, tokens, 12)
    beta = torch.full((tokens,), 1e4)
    assert torch.equal(compress_tokens(values, keys[:, kept], keys, beta), values[:, kept])


@pytest.mark.parametrize("competing", [False, True])
def test_rows_are_distributions_even_for_huge_scores(competing):
    case = random_case()
    weights = compression_weights(
        case["queries"] * 1e4, case["keys"] * 1e4, case["beta"], competing=competing
    )
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 6))


def test_half_precision_is_accumulated_in_fp32():
    case = {name: tensor.bfloat16() for name, tensor in random_case(tokens=500).items()}
    got, want = compress_tokens(**case), exact(**case, competing=False)
    assert got.dtype == torch.bfloat16
    error = (got.double() - want).square().mean().sqrt() / want.square().mean().sqrt()
    assert error < 0.005


def test_empty_batch_and_strided_input():
    assert compress_tokens(**random_case(batch=0)).shape == (0, 6, 24)
    case = random_case()
    strided = {**case, "values": case["values"].transpose(1, 2).contiguous().transpose(1, 2)}
    torch.testing.assert_close(compress_tokens(**strided), compress_tokens(**case))


@pytest.mark.parametrize("competing", [False, True])
def test_gradients(competing):
    case = {
        name: tensor.double().requires_grad_()
        for name, tensor in random_case(batch=1, tokens=6, outputs=2, hidden=3, key_dim=4).items()
    }

    def in_fp32(*arguments):
        return compress_tokens(**dict(zip(case, arguments, strict=True)), competing=competing)

    assert torch.autograd.gradcheck(
        in_fp32, tuple(case.values()), eps=1e-2, atol=1e-2, rtol=1e-2, nondet_tol=0
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": torch.ones(2, 35)}, r"values must be \[B, N > 0, D\]"),
        ({"keys": torch.ones(2, 34, 16)}, r"keys must be \[2, 35, Dc\]"),
        ({"queries": torch.ones(2, 6, 15)}, r"queries must be \[2, M, 16\]"),
        ({"beta": torch.ones(15)}, r"beta must be \[16\]"),
        ({"token_bias": torch.ones(35)}, r"token_bias must be \[2, 35\]"),
        ({"grid_cols": 7}, "windows and grid_cols go together"),
        ({"windows": torch.ones(3, 3), "grid_cols": 7}, r"windows must be \[M, 4\]"),
        ({"windows": torch.ones(3, 4), "grid_cols": 7}, "queries must be those of all 35"),
        (
            {"queries": torch.ones(2, 35, 16), "windows": torch.ones(3, 4), "grid_cols": 6},
            "grid_cols 6 does not divide 35",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        compress_tokens(**{**random_case(), **change})
