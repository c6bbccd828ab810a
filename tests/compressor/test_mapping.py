"""What the mapping owes: rows of P are distributions, one picture never touches another."""

import itertools
import math

import pytest
import torch

from metacompress_compressor import mapping as mapping_module
from metacompress_compressor.calibration import calibrate_beta, window_mass
from metacompress_compressor.mapping import TokenMapping
from metacompress_compressor.windows import Grid, compressed_grid, num_compressed_tokens
from metacompress_kernels import pool_windows

GRID = Grid(6, 8)
FORMS = list(itertools.product(["row_softmax", "competing"], ["1d", "2d"]))


def make_mapping(method="row_softmax", windows="2d", conditioning="budget", **options):
    torch.manual_seed(0)
    mapping = TokenMapping(
        16, 8, method=method, windows=windows, conditioning=conditioning, **options
    )
    with torch.no_grad():
        mapping.query_projection += 0.1 * torch.randn(16, 8)
        mapping.beta.normal_(2.0, 0.5)
        if mapping.token_direction is not None:
            mapping.token_direction.normal_()
        if mapping.conditioned:
            mapping.budget_scale.normal_(0.0, 0.2)
            mapping.budget_shift.normal_(0.0, 0.2)
    return mapping


@pytest.fixture
def pictures():
    """Three smooth pictures with a little noise, row-major `[3, N, 16]`."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(3, 16, 3, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (GRID.rows, GRID.cols), mode="bilinear")
    tokens = smooth.flatten(2).transpose(1, 2)
    return 3 * tokens + 0.3 * torch.randn(tokens.shape, generator=generator)


@pytest.mark.parametrize(("method", "windows"), FORMS)
@pytest.mark.parametrize("ratio", [0.01, 0.1, 0.5])
def test_rows_of_p_are_distributions(pictures, method, windows, ratio):
    weights = make_mapping(method, windows).weights(pictures, GRID, ratio)
    m = num_compressed_tokens(GRID, ratio, windows)
    assert weights.shape == (3, m, GRID.num_tokens)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, m))


@pytest.mark.parametrize(("method", "windows"), FORMS)
def test_output_is_p_times_x(pictures, method, windows):
    mapping = make_mapping(method, windows)
    expected = mapping.weights(pictures, GRID, 0.2) @ pictures
    torch.testing.assert_close(mapping(pictures, GRID, 0.2), expected)


@pytest.mark.parametrize(("method", "windows"), FORMS)
def test_constant_input_stays_constant(method, windows):
    x = torch.linspace(-2, 3, 16).expand(1, GRID.num_tokens, 16)
    out = make_mapping(method, windows)(x, GRID, 0.2)
    torch.testing.assert_close(out, x[:, : out.shape[1]])


@pytest.mark.parametrize(("method", "windows"), FORMS)
def test_no_reduction_returns_the_tokens_themselves(pictures, method, windows):
    mapping = make_mapping(method, windows)
    assert mapping(pictures, GRID, 1.0) is pictures
    identity = torch.eye(GRID.num_tokens).expand(3, -1, -1)
    assert torch.equal(mapping.weights(pictures, GRID, 1.0), identity)


@pytest.mark.parametrize(("method", "windows"), FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_same_picture_same_bits_whatever_stands_beside_it(pictures, method, windows, dtype):
    mapping, pictures = make_mapping(method, windows).to(dtype), pictures.to(dtype)
    with torch.no_grad():
        together = mapping(pictures, GRID, 0.2)
        for index in range(3):
            alone = mapping(pictures[index : index + 1], GRID, 0.2)
            assert torch.equal(alone[0], together[index])
        assert torch.equal(together, mapping(pictures, GRID, 0.2))


def test_empty_batch():
    with torch.no_grad():
        assert make_mapping()(torch.empty(0, GRID.num_tokens, 16), GRID, 0.2).shape[0] == 0


@pytest.mark.parametrize("method", ["row_softmax", "competing"])
def test_starts_symmetric_and_every_parameter_learns(pictures, method):
    mapping = TokenMapping(16, 8, method=method)
    assert torch.equal(mapping.query_projection, mapping.key_projection)
    mapping(pictures, GRID, 0.2).square().sum().backward()
    for name, parameter in mapping.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(("method", "windows"), FORMS)
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_calibration_starts_rows_in_their_windows_at_any_scale(pictures, method, windows, scale):
    torch.manual_seed(0)
    mapping = TokenMapping(16, 128, method=method, windows=windows, code=f"sinusoidal_{windows}")
    reached = calibrate_beta(mapping, pictures * scale, GRID, 0.2, target_mass=0.7)
    assert 0.5 <= reached <= 0.9
    assert window_mass(mapping, pictures * scale, GRID, 0.2) == reached


@torch.no_grad()
def test_calibration_takes_the_softest_rows_that_reach_the_target():
    """On noise, one-hot rows may meet the target again far beyond: they could not learn."""
    torch.manual_seed(0)
    noise, grid, mapping = torch.randn(4, 16, 16), Grid(4, 4), TokenMapping(16, 8)
    assert calibrate_beta(mapping, noise, grid, 0.25, target_mass=0.4) >= 0.4
    chosen = mapping.beta[0].item()
    for share in (0.8, 0.5, 0.1):
        mapping.beta.fill_(share * chosen)
        assert window_mass(mapping, noise, grid, 0.25) < 0.4


def test_layer_norm_makes_p_independent_of_scale(pictures):
    mapping = make_mapping(token_norm="layer_norm")
    torch.testing.assert_close(
        mapping.weights(pictures, GRID, 0.2),
        mapping.weights(pictures * 10, GRID, 0.2),
        rtol=1e-3,
        atol=1e-5,
    )
    unnormalised = make_mapping(token_norm="none")
    difference = unnormalised.weights(pictures, GRID, 0.2) - unnormalised.weights(
        pictures * 10, GRID, 0.2
    )
    assert difference.abs().max() > 0.1


@pytest.mark.parametrize(("method", "windows"), FORMS)
def test_compiles_without_a_graph_break(pictures, method, windows):
    mapping = make_mapping(method, windows)
    compiled = torch.compile(
        lambda x: mapping(x, GRID, 0.2), backend="eager", fullgraph=True, dynamic=False
    )
    with torch.no_grad():
        assert torch.equal(compiled(pictures), mapping(pictures, GRID, 0.2))


def test_trains_after_it_has_served(pictures):
    """What serving caches in inference mode must not be refused by autograd later."""
    mapping = make_mapping(code="sinusoidal_1d")
    with torch.inference_mode():
        mapping(pictures, GRID, 0.3)
    mapping(pictures, GRID, 0.3).sum().backward()
    assert mapping.query_projection.grad is not None


def test_wrong_shapes_are_named(pictures):
    with pytest.raises(ValueError, match=r"must be \[B, 49, 16\]"):
        make_mapping()(pictures, Grid(7, 7), 0.2)


def test_what_is_kept_for_serving_follows_the_parameters(pictures):
    mapping = make_mapping()
    changes = (
        lambda: mapping.query_projection.mul_(2),
        lambda: mapping.load_state_dict(make_mapping().state_dict()),
        lambda: mapping.key_projection.neg_(),
        lambda: mapping.budget_scale.add_(0.1),
        mapping.double,
    )
    with torch.no_grad():
        before = mapping(pictures, GRID, 0.2)
        for change in changes:
            change()
            x = pictures.to(mapping.beta.dtype)
            fresh = make_mapping().to(mapping.beta.dtype)
            fresh.load_state_dict(mapping.state_dict())
            assert torch.equal(mapping(x, GRID, 0.2), fresh(x, GRID, 0.2))
        assert not torch.equal(before, mapping(x, GRID, 0.2))


def test_serving_projects_the_position_code_of_a_grid_once(pictures, monkeypatch):
    made = []
    original = mapping_module.projected_position_code

    def counted(*arguments):
        made.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(mapping_module, "projected_position_code", counted)
    mapping = make_mapping()
    with torch.no_grad():
        for _ in range(3):
            mapping(pictures, GRID, 0.2)
    assert len(made) == 1
    mapping(pictures, GRID, 0.2)  # with gradients
    assert len(made) == 2


@pytest.mark.parametrize(("method", "windows"), FORMS)
@pytest.mark.parametrize("ratios", [(0.2, 1.0, 0.5), (0.3, 0.3, 0.3), (1.0, 1.0, 0.1), (1, 1, 1)])
def test_pictures_with_budgets_of_their_own_equal_each_alone(pictures, method, windows, ratios):
    mapping = make_mapping(method, windows)
    with torch.no_grad():
        together = mapping.compress_each(pictures, GRID, ratios)
        for picture, ratio, got in zip(pictures, ratios, together, strict=True):
            assert torch.equal(got, mapping(picture[None], GRID, ratio)[0])
    with_gradients = mapping.compress_each(pictures, GRID, ratios)
    for got, want in zip(with_gradients, together, strict=True):
        torch.testing.assert_close(got, want)


def test_a_batch_of_budgets_needs_one_for_each_picture(pictures):
    with pytest.raises(ValueError, match="3 pictures, but 2 ratios"):
        make_mapping().compress_each(pictures, GRID, [0.2, 0.2])


def test_the_budget_conditions_queries_as_the_formula_says(pictures):
    mapping, ratio = make_mapping(), 0.3
    m = num_compressed_tokens(GRID, ratio, "2d")
    b = math.log(10 * m / GRID.num_tokens)
    f = torch.tensor([b, b * b])
    plain = make_mapping(conditioning="none")
    queries, keys, _ = plain._project(pictures, GRID, (None,))
    windows, grid_cols = plain._windows(GRID, compressed_grid(GRID, ratio, "2d"), pictures.device)
    queries = queries * (1 + f @ mapping.budget_scale) + f @ mapping.budget_shift
    scores = pool_windows(queries, windows, grid_cols) * plain.beta @ keys.mT / math.sqrt(8)
    expected = torch.softmax(scores, dim=-1)
    torch.testing.assert_close(mapping.weights(pictures, GRID, ratio), expected)
    assert not torch.allclose(expected, plain.weights(pictures, GRID, ratio), atol=1e-3)


def test_conditioning_at_its_start_changes_nothing(pictures):
    mapping, plain = make_mapping(), make_mapping(conditioning="none")
    with torch.no_grad():
        mapping.budget_scale.zero_()
        mapping.budget_shift.zero_()
    assert torch.equal(mapping(pictures, GRID, 0.3), plain(pictures, GRID, 0.3))
    assert [name for name, _ in plain.named_parameters() if name.startswith("budget")] == []
