"""The Triton kernels against fp64: odd sizes, strides, windows, ragged batches, extreme scores.

Compiled, they need a GPU. `test_interpreter` runs this file in Triton's interpreter.
"""
# ruff: noqa: E402 - the imports below need Triton, which may be missing

import functools
import itertools

import pytest
import torch

from metacompress_compressor.mapping import TokenMapping
from metacompress_compressor.windows import Grid, compressed_grid, window_ranges

triton = pytest.importorskip("triton", reason="Triton is not installed")

from metacompress_kernels import library, ops
from metacompress_kernels.blocks import cdiv, project_blocks
from metacompress_kernels.library import (
    compress_tokens_op,
    compress_tokens_ragged_op,
    project_tokens_op,
)
from metacompress_kernels.reference import (
    compress_tokens_ragged_reference,
    project_tokens_reference,
)

from .cases import exact, random_case, relative_error

INTERPRETED = triton.knobs.runtime.interpret
pytestmark = [] if INTERPRETED else pytest.mark.gpu

# The interpreter cuts numbers off where it turns them into bf16, at twice the error of rounding.
BF16 = 1e-2 if INTERPRETED else 5e-3
TOLERANCE = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: BF16}


@pytest.fixture(autouse=True)
def poisoned_memory(monkeypatch):
    """Fresh memory holds NaN, so that a value never written or read too far cannot go unseen."""
    original = torch.Tensor.new_empty

    def poisoned(self, *size, **options):
        tensor = original(self, *size, **options)
        return tensor.fill_(float("nan")) if tensor.is_floating_point() else tensor

    monkeypatch.setattr(torch.Tensor, "new_empty", poisoned)


def window_tensor(grid, compressed, device):
    return torch.tensor(window_ranges(grid, compressed, "2d"), dtype=torch.int32, device=device)


@pytest.mark.parametrize("competing", [False, True])
@pytest.mark.parametrize(
    ("batch", "tokens", "outputs", "hidden", "key_dim"),
    [
        (2, 35, 6, 24, 16),
        (1, 1, 1, 1, 1),
        (1, 130, 67, 130, 33),
        (3, 64, 1, 40, 32),
        (1, 70, 70, 16, 17),
        (0, 20, 5, 16, 16),
    ],
)
def test_matches_fp64(device, competing, batch, tokens, outputs, hidden, key_dim):
    case = random_case(batch, tokens, outputs, hidden, key_dim, device=device)
    case[-1] = competing
    got = compress_tokens_op(*case)
    assert got.shape == (batch, outputs, hidden)
    if batch:
        assert relative_error(got, exact(*case)) < TOLERANCE[torch.float32]


@pytest.mark.parametrize("competing", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(device, dtype, competing):
    case = random_case(tokens=130, outputs=17, hidden=40, dtype=dtype, device=device)
    case[-1] = competing
    got = compress_tokens_op(*case)
    assert got.dtype == dtype
    assert relative_error(got, exact(*case)) < TOLERANCE[dtype]


@pytest.mark.parametrize("competing", [False, True])
def test_windows_in_1d_and_2d(device, competing):
    grid = Grid(5, 9)
    for compressed, kind, cols in ((Grid(2, 4), "2d", 9), (Grid(1, 7), "1d", 45)):
        case = random_case(tokens=45, outputs=45, device=device)
        ranges = window_ranges(grid, compressed, kind)
        case[4], case[5] = torch.tensor(ranges, dtype=torch.int32, device=device), cols
        case[-1] = competing
        got = compress_tokens_op(*case)
        assert relative_error(got, exact(*case)) < TOLERANCE[torch.float32]


def test_strided_input(device):
    case = random_case(device=device)
    strided = list(case)
    for place in (0, 1, 2):
        strided[place] = case[place].transpose(1, 2).contiguous().transpose(1, 2)
        assert not strided[place].is_contiguous()
    strided[3] = case[3].repeat_interleave(2)[::2]
    strided[6] = case[6].t().contiguous().t()
    got, want = compress_tokens_op(*strided), compress_tokens_op(*case)
    assert relative_error(got, want.double()) < 1e-6


def test_without_token_bias(device):
    case = random_case(device=device)
    case[6] = None
    assert relative_error(compress_tokens_op(*case), exact(*case)) < TOLERANCE[torch.float32]


@pytest.mark.parametrize("competing", [False, True])
def test_huge_scores_and_tokens_switched_off(device, competing):
    case = random_case(tokens=80, device=device)
    case[1] = case[1] * 1e3
    case[6][:, :70] = float("-inf")
    case[-1] = competing
    got = compress_tokens_op(*case)
    assert got.isfinite().all()
    assert relative_error(got, exact(*case)) < 1e-3


def test_one_hot_rows_reproduce_equidistant_sampling(device):
    tokens, outputs = 40, 7
    kept = torch.linspace(0, tokens - 1, outputs).round().long()
    keys = torch.eye(tokens, device=device).unsqueeze(0)
    values = torch.randn(1, tokens, 12, device=device)
    beta = torch.full((tokens,), 1e4, device=device)
    got = compress_tokens_op(values, keys[:, kept], keys, beta, None, None, None, False)
    assert torch.equal(got, values[:, kept])


@pytest.mark.parametrize("competing", [False, True])
def test_rows_of_p_sum_to_one(device, competing):
    case = random_case(hidden=1, device=device)
    case[0] = torch.ones_like(case[0])
    case[-1] = competing
    torch.testing.assert_close(compress_tokens_op(*case), torch.ones(2, 6, 1, device=device))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy, under the interpreter, of NaN
@pytest.mark.parametrize("competing", [False, True])
def test_pictures_never_mix(device, competing):
    """The bits of a picture stay the same whatever lies beside it, even NaN."""
    case = random_case(batch=3, tokens=45, outputs=45, device=device)
    case[4], case[5] = window_tensor(Grid(5, 9), Grid(2, 4), device), 9
    case[-1] = competing
    x, weight = case[0], torch.randn(24, 32, device=device)
    offset = torch.randn(45, 32, device=device)
    before = compress_tokens_op(*case), project_tokens_op(x, weight, offset, 1e-5)
    for place in (0, 1, 2, 6):
        case[place] = case[place].clone()
        case[place][[0, 2]] = float("nan")
    after = compress_tokens_op(*case), project_tokens_op(case[0], weight, offset, 1e-5)
    for old, new in zip(before, after, strict=True):
        assert torch.equal(old[1], new[1])
        assert new[0].isnan().all()


@pytest.mark.parametrize("competing", [False, True])
@pytest.mark.parametrize("windowed", [False, True])
def test_ragged_equals_one_by_one(device, competing, windowed):
    grids = [Grid(4, 5), Grid(1, 1), Grid(9, 8), Grid(3, 7)]
    budgets = [0.3, 0.5, 0.2, 0.9]
    small = [compressed_grid(g, budget, "2d") for g, budget in zip(grids, budgets, strict=True)]
    cases = []
    for seed, (grid, compressed) in enumerate(zip(grids, small, strict=True)):
        outputs = grid.num_tokens if windowed else compressed.num_tokens
        case = random_case(1, grid.num_tokens, outputs, device=device, seed=seed)
        if windowed:
            case[4], case[5] = window_tensor(grid, compressed, device), grid.cols
        case[3], case[-1] = random_case(device=device)[3], competing
        cases.append(case)

    def edges(sizes):
        return torch.tensor([0, *itertools.accumulate(sizes)], device=device)

    values, queries, keys = (torch.cat([case[i][0] for case in cases]) for i in range(3))
    tokens = [grid.num_tokens for grid in grids]
    outputs = [compressed.num_tokens for compressed in small]
    got = compress_tokens_ragged_op(
        values,
        queries,
        keys,
        cases[0][3],
        edges(tokens),
        edges(outputs),
        max(tokens),
        max(outputs),
        torch.cat([case[4] for case in cases]) if windowed else None,
        torch.tensor([grid.cols for grid in grids], device=device) if windowed else None,
        torch.cat([case[6][0] for case in cases]),
        competing,
    )
    expected = torch.cat([exact(*case)[0] for case in cases])
    assert relative_error(got, expected) < TOLERANCE[torch.float32]


@pytest.mark.parametrize(
    ("tokens", "outputs", "hidden", "key_dim", "dtype", "competing"),
    [
        (16_384, 3, 16, 32, torch.float16, False),
        (40, 5, 8192, 64, torch.float32, True),
        (300, 290, 24, 128, torch.bfloat16, True),
        (33, 4, 48, 256, torch.float32, True),
        (33, 4, 48, 256, torch.bfloat16, True),
    ],
)
def test_the_largest_of_each_size(device, tokens, outputs, hidden, key_dim, dtype, competing):
    case = random_case(1, tokens, outputs, hidden, key_dim, dtype, device)
    case[-1] = competing
    assert relative_error(compress_tokens_op(*case), exact(*case)) < TOLERANCE[dtype]


def test_places_behind_2_to_the_31_are_reached(device):
    """Strides of a buffer far larger than its parts in use; only those are ever touched."""
    case = random_case(tokens=5, outputs=2, hidden=17, device=device, dtype=torch.float16)
    picture, token = 2**31 + 64, 2**29 + 40
    room = torch.empty(picture + 4 * token + 17, dtype=torch.float16, device=device)
    far = room.as_strided((2, 5, 17), (picture, token, 1))
    far.copy_(case[0])
    got, want = compress_tokens_op(far, *case[1:]), compress_tokens_op(*case)
    assert relative_error(got, want.double()) < TOLERANCE[torch.float16]
    weight, offset = (torch.randn(size, 16, device=device).half() for size in (17, 5))
    got, want = (project_tokens_op(x, weight, offset, 1e-5) for x in (far, case[0]))
    assert relative_error(got, want.double()) < TOLERANCE[torch.float16]


def test_one_window_over_the_whole_picture(device):
    case = random_case(tokens=300, outputs=300, device=device)
    case[4], case[5] = window_tensor(Grid(15, 20), Grid(1, 1), device), 20
    assert relative_error(compress_tokens_op(*case), exact(*case)) < TOLERANCE[torch.float32]


def test_ragged_without_pictures_and_with_an_empty_one(device):
    case = random_case(1, 9, 4, device=device)
    packed = [case[0][0], case[1][0], case[2][0], case[3]]
    edges = torch.tensor([0, 0, 9], device=device), torch.tensor([0, 0, 4], device=device)
    got = compress_tokens_ragged_op(*packed, *edges, 9, 4, None, None, case[6][0], False)
    assert relative_error(got, exact(*case)[0]) < TOLERANCE[torch.float32]
    none = [packed[0][:0], packed[1][:0], packed[2][:0], packed[3]]
    edge = torch.zeros(1, dtype=torch.int64, device=device)
    got = compress_tokens_ragged_op(*none, edge, edge, 0, 0, None, None, None, False)
    assert got.shape == (0, 24)


@torch.no_grad()
@pytest.mark.parametrize(("method", "kind"), [("row_softmax", "2d"), ("competing", "1d")])
def test_budgets_of_their_own_in_one_launch(device, monkeypatch, method, kind):
    """The mapping as the server calls it, by the kernels, against each picture by the reference."""
    torch.manual_seed(0)
    mapping = TokenMapping(24, 16, method=method, windows=kind).to(device)
    for parameter in mapping.parameters():
        parameter.normal_()
    grid, ratios = Grid(5, 7), (0.2, 1.0, 0.6, 0.03)
    x = torch.randn(4, 35, 24, device=device)
    want = [
        mapping.weights(one[None], grid, ratio)[0].double() @ one.double()
        for one, ratio in zip(x, ratios, strict=True)
    ]
    launched = []
    for name in ("project_tokens_op", "compress_tokens_ragged_op"):
        op = getattr(library, name)
        counted = functools.partial(lambda op, name, *a: launched.append(name) or op(*a), op, name)
        monkeypatch.setattr(ops, name, counted, raising=False)
    monkeypatch.setattr(ops.checks, "device_of", lambda *arguments: "cuda")
    for got, true in zip(mapping.compress_each(x, grid, ratios), want, strict=True):
        assert relative_error(got, true) < TOLERANCE[torch.float32]
    assert launched.count("compress_tokens_ragged_op") == 1


@pytest.mark.parametrize("summed", [False, True])
@pytest.mark.parametrize("eps", [None, 1e-5])
@pytest.mark.parametrize(("rows", "splits"), [(35, 7), (4200, 1)])
def test_projection_alone_and_in_a_crowd(device, rows, splits, eps, summed):
    """Few tokens are shared out by channels, many are not."""
    hidden, width = (2050, 24) if splits > 1 else (72, 20)
    blocks = project_blocks(rows, hidden, width, 2)
    assert cdiv(hidden, blocks.channels_each(hidden)) == splits
    generator = torch.Generator().manual_seed(0)
    x = (3 * torch.randn(1, rows, hidden, generator=generator) + 1).to(device, torch.float16)
    weight = torch.randn(hidden, width, generator=generator).to(device, torch.float16)
    offset = torch.randn(rows, width, generator=generator).to(device, torch.float16)
    wide = x.double()
    if eps is not None:
        wide = torch.nn.functional.layer_norm(wide, (hidden,), eps=eps)
    expected = wide @ weight.double() + offset.double()
    column_sum = weight.repeat_interleave(2, 1).sum(0, dtype=torch.float32)[::2]
    got = project_tokens_op(x, weight, offset, eps, column_sum if summed else None)
    assert relative_error(got, expected) < TOLERANCE[torch.float16]


def test_projection_of_tokens_far_from_zero(device):
    """The mean is ten times the deviation: taking it out afterwards must not lose the digits."""
    x = 30 + 3 * torch.randn(1, 40, 600, device=device)
    weight, offset = (torch.randn(size, 24, device=device) for size in (600, 40))
    expected = torch.nn.functional.layer_norm(x.double(), (600,)) @ weight.double()
    expected = expected + offset.double()
    assert relative_error(project_tokens_op(x, weight, offset, 1e-5), expected) < 1e-4


@pytest.mark.parametrize("eps", [None, 1e-5])
@pytest.mark.parametrize(
    ("batch", "tokens", "hidden", "width"), [(2, 35, 70, 24), (1, 1, 1, 1), (1, 33, 130, 140)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_projection_matches_fp64(device, batch, tokens, hidden, width, eps, dtype):
    generator = torch.Generator().manual_seed(0)
    x = (3 * torch.randn(batch, tokens, hidden, generator=generator) + 1).to(device, dtype)
    weight = torch.randn(hidden, width, generator=generator).to(device, dtype)
    offset = torch.randn(tokens, width, generator=generator).to(device, dtype)
    wide = x.double()
    if eps is not None:
        wide = torch.nn.functional.layer_norm(wide, (hidden,), eps=eps)
    expected = wide @ weight.double() + offset.double()
    got = project_tokens_op(x.transpose(1, 2).contiguous().transpose(1, 2), weight, offset, eps)
    assert got.dtype == dtype
    assert relative_error(got, expected) < TOLERANCE[dtype]


@pytest.mark.parametrize("competing", [False, True])
def test_gradients_are_those_of_the_formula(device, competing):
    case = random_case(tokens=9, outputs=3, hidden=5, key_dim=4, device=device)
    case[-1] = competing
    inputs = [i for i, part in enumerate(case) if isinstance(part, torch.Tensor)]

    def gradients(function, dtype):
        leaves = list(case)
        for i in inputs:
            leaves[i] = case[i].detach().to(dtype).requires_grad_()
        function(*leaves).square().sum().backward()
        return [leaves[i].grad for i in inputs]

    for got, want in zip(
        gradients(compress_tokens_op, torch.float32), gradients(exact, torch.float64), strict=True
    ):
        assert relative_error(got, want) < 1e-4


def ragged_case(device):
    """Positional arguments of the ragged operation: two pictures with windows and a bias."""
    case = random_case(1, 33, 33, device=device)
    windows = [
        window_tensor(Grid(3, 4), Grid(2, 2), device),
        window_tensor(Grid(3, 7), Grid(1, 5), device),
    ]
    edges = [torch.tensor(edges, device=device) for edges in ([0, 12, 33], [0, 4, 9])]
    cols = torch.tensor([4, 7], device=device)
    packed = [case[0][0], case[1][0], case[2][0], case[3], *edges, 21, 5]
    return [*packed, torch.cat(windows), cols, case[6][0], True]


def test_registrations_are_sound(device):
    """Schemas, fakes, gradients and tracing by AOTAutograd, with fixed and with open sizes."""
    case = random_case(device=device)
    torch.library.opcheck(compress_tokens_op, _with_gradients(case))
    torch.library.opcheck(compress_tokens_ragged_op, _with_gradients(ragged_case(device)))
    x, weight = torch.randn(2, 5, 8, device=device), torch.randn(8, 6, device=device)
    projection = [x, weight, torch.randn(5, 6, device=device), 1e-5, weight.sum(0)]
    torch.library.opcheck(project_tokens_op, _with_gradients(projection))


def _with_gradients(arguments):
    return tuple(
        argument.requires_grad_()
        if isinstance(argument, torch.Tensor) and argument.is_floating_point()
        else argument
        for argument in arguments
    )


def test_compiles_without_a_graph_break(device):
    """On a GPU by inductor; the interpreter takes no part in code that inductor writes."""
    case, packed = random_case(device=device), ragged_case(device)

    def call(x, weight, offset, case, packed):
        projected = project_tokens_op(x, weight, offset, 1e-5)
        return compress_tokens_op(*case) + projected.sum(), compress_tokens_ragged_op(*packed)

    x, weight = torch.randn(2, 5, 8, device=device), torch.randn(8, 6, device=device)
    arguments = x, weight, torch.randn(5, 6, device=device), case, packed
    torch.compiler.reset()
    backend = "aot_eager" if INTERPRETED else "inductor"
    compiled = torch.compile(call, fullgraph=True, backend=backend)
    for got, want in zip(compiled(*arguments), call(*arguments), strict=True):
        torch.testing.assert_close(got, want)


def test_gradients_of_projection_and_of_packed_pictures(device):
    packed = ragged_case(device)
    x, weight = torch.randn(2, 5, 8, device=device), torch.randn(8, 6, device=device)
    projection = [x, weight, torch.randn(5, 6, device=device), 1e-5]
    for op, reference, arguments in (
        (compress_tokens_ragged_op, compress_tokens_ragged_reference, packed),
        (project_tokens_op, project_tokens_reference, projection),
    ):
        got, want = (_gradients(function, arguments) for function in (op, reference))
        assert len(got) > 2
        for mine, true in zip(got, want, strict=True):
            assert relative_error(mine, true.double()) < 1e-4


def _gradients(function, arguments):
    leaves = _with_gradients(
        argument.detach().clone() if isinstance(argument, torch.Tensor) else argument
        for argument in arguments
    )
    function(*leaves).square().sum().backward()
    return [leaf.grad for leaf in leaves if isinstance(leaf, torch.Tensor) and leaf.requires_grad]
