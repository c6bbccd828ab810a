"""The reference against fp64 and against PyTorch's own pooling."""

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool1d, adaptive_avg_pool2d

from metacompress_compressor.windows import Grid, window_ranges
from metacompress_kernels import (
    compress_tokens,
    compress_tokens_ragged,
    compress_tokens_ragged_reference,
    compression_weights,
    pool_windows,
    project_tokens,
)
from metacompress_kernels.padded import compress_tokens_padded

from .cases import exact, relative_error
from .cases import random_case as positional_case

NAMES = (
    "values",
    "queries",
    "keys",
    "beta",
    "windows",
    "grid_cols",
    "token_bias",
    "competing",
)


def random_case(**sizes):
    """Keyword arguments of `compress_tokens`."""
    return dict(zip(NAMES, positional_case(**sizes), strict=True))


@pytest.mark.parametrize("competing", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(("tokens", "outputs"), [(35, 6), (35, 1), (7, 7), (1, 1)])
def test_matches_fp64(competing, biased, tokens, outputs):
    case = random_case(tokens=tokens, outputs=outputs) | {"competing": competing}
    if not biased:
        case["token_bias"] = None
    assert relative_error(compress_tokens(**case), exact(**case)) < 1e-5


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
        compress_tokens(**{**case, "windows": windows, "grid_cols": 7}), compress_tokens(**pooled)
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
    case = random_case(tokens=500, dtype=torch.bfloat16)
    got = compress_tokens(**case)
    assert got.dtype == torch.bfloat16
    assert relative_error(got, exact(**case)) < 0.005


def test_empty_batch_and_strided_input():
    assert compress_tokens(**random_case(batch=0)).shape == (0, 6, 24)
    case = random_case()
    strided = {**case, "values": case["values"].transpose(1, 2).contiguous().transpose(1, 2)}
    torch.testing.assert_close(compress_tokens(**strided), compress_tokens(**case))


@pytest.mark.parametrize("competing", [False, True])
def test_gradients(competing):
    case = random_case(batch=1, tokens=6, outputs=2, hidden=3, key_dim=4)
    names = [name for name, value in case.items() if isinstance(value, torch.Tensor)]

    def gradients(function, dtype):
        leaves = {name: case[name].detach().to(dtype).requires_grad_() for name in names}
        function(**{**case, **leaves, "competing": competing}).square().sum().backward()
        return [leaf.grad for leaf in leaves.values()]

    for got, want in zip(
        gradients(compress_tokens, torch.float32), gradients(exact, torch.float64), strict=True
    ):
        assert relative_error(got, want) < 1e-4


@pytest.mark.parametrize("competing", [False, True])
def test_ragged_equals_picture_by_picture(competing):
    sizes = [(12, 4), (1, 1), (35, 6)]
    cases = [
        positional_case(1, tokens, outputs, seed=seed)
        for seed, (tokens, outputs) in enumerate(sizes)
    ]
    beta = cases[0][3]
    got = compress_tokens_ragged(
        *(torch.cat([case[i][0] for case in cases]) for i in range(3)),
        beta,
        torch.tensor([0, 12, 13, 48]),
        torch.tensor([0, 4, 5, 11]),
        35,
        6,
        token_bias=torch.cat([case[6][0] for case in cases]),
        competing=competing,
    )
    expected = [exact(*case[:3], beta, None, None, case[6], competing)[0] for case in cases]
    assert relative_error(got, torch.cat(expected)) < 1e-5


def ragged_arguments():
    """Pictures of different sizes and budgets, one of them empty, with windows."""
    grids = [(Grid(3, 4), Grid(2, 2)), (Grid(5, 7), Grid(2, 3)), (Grid(1, 1), Grid(1, 1))]
    case = positional_case(1, 48, 48)
    windows = torch.cat([torch.tensor(window_ranges(g, small, "2d")) for g, small in grids])
    edges = torch.tensor([0, 12, 12, 47, 48]), torch.tensor([0, 4, 4, 10, 11])
    packed = [part[0] for part in case[:3]]
    return (
        [*packed, case[3], *edges, 35, 6],
        {"windows": windows, "grid_cols": torch.tensor([4, 1, 7, 1]), "token_bias": case[6][0]},
    )


@pytest.mark.parametrize("competing", [False, True])
@pytest.mark.parametrize("windowed", [False, True])
def test_padded_pictures_equal_one_by_one_gradients_too(competing, windowed):
    arguments, options = ragged_arguments()
    if not windowed:
        arguments[1] = arguments[1][:11]
        options = {}

    def run(function):
        leaves = [part.clone().requires_grad_() for part in arguments[:4]]
        out = function(*leaves, *arguments[4:], competing=competing, **options)
        out.square().sum().backward()
        return out, *(leaf.grad for leaf in leaves)

    both = zip(run(compress_tokens_padded), run(compress_tokens_ragged_reference), strict=True)
    for got, want in both:
        torch.testing.assert_close(got, want)


def test_packed_pictures_compile_without_a_graph_break():
    arguments, options = ragged_arguments()
    compiled = torch.compile(compress_tokens_ragged, backend="aot_eager", fullgraph=True)
    expected = compress_tokens_ragged(*arguments, **options)
    torch.testing.assert_close(compiled(*arguments, **options), expected)


@pytest.mark.parametrize("eps", [None, 1e-5])
def test_projection_normalises_then_multiplies(eps):
    x, weight, offset = torch.randn(2, 5, 8) + 1, torch.randn(8, 6), torch.randn(5, 6)
    wide = x.double()
    if eps is not None:
        wide = wide - wide.mean(-1, keepdim=True)
        wide = wide / (wide.square().mean(-1, keepdim=True) + eps).sqrt()
    expected = wide @ weight.double() + offset.double()
    assert relative_error(project_tokens(x, weight, offset, eps=eps), expected) < 1e-5


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cu_outputs": torch.tensor([0, 6])}, r"must both be \[B \+ 1\], not \(3,\) and \(2,\)"),
        ({"grid_cols": torch.tensor([5, 5])}, "windows and grid_cols go together"),
        (
            {"windows": torch.ones(6, 4), "grid_cols": torch.tensor([5])},
            r"grid_cols must be \[2\], not \(1,\)",
        ),
        ({"token_bias": torch.ones(34)}, r"token_bias must be \[1, 35\]"),
    ],
)
def test_ragged_shapes_that_do_not_fit_are_named(change, message):
    case = random_case(batch=1)
    arguments = {
        **{name: case[name][0] for name in ("values", "queries", "keys")},
        "beta": case["beta"],
        "cu_tokens": torch.tensor([0, 20, 35]),
        "cu_outputs": torch.tensor([0, 4, 6]),
        "max_tokens": 20,
        "max_outputs": 4,
    }
    assert compress_tokens_ragged(**arguments).shape == (6, 24)
    with pytest.raises(ValueError, match=message):
        compress_tokens_ragged(**{**arguments, **change})


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((5, 8), (8, 6), (5, 6)), r"tokens must be \[B, N, D\]"),
        (((2, 5, 8), (7, 6), (5, 6)), r"weight must be \[8, C\], not \(7, 6\)"),
        (((2, 5, 8), (8, 6), (4, 6)), r"offset must be \[5, 6\], not \(4, 6\)"),
    ],
)
def test_projections_that_do_not_fit_are_named(shapes, message):
    with pytest.raises(ValueError, match=message):
        project_tokens(*(torch.ones(shape) for shape in shapes))


@pytest.mark.parametrize("wrong", [torch.ones(5), torch.ones(6, dtype=torch.float64)])
def test_column_sums_that_do_not_fit_are_named(wrong):
    arguments = torch.ones(2, 5, 8), torch.ones(8, 6), torch.ones(5, 6)
    with pytest.raises(ValueError, match=r"column_sum must be \[6\] of float32, not"):
        project_tokens(*arguments, column_sum=wrong)


def test_whole_numbers_are_refused():
    case = random_case()
    with pytest.raises(ValueError, match=r"floating point, not torch\.int64"):
        compress_tokens(**{**case, "values": case["values"].long()})


def test_tensors_on_several_devices_are_refused():
    case = random_case()
    with pytest.raises(ValueError, match="several devices: cpu, meta"):
        compress_tokens(**{**case, "keys": case["keys"].to("meta")})
