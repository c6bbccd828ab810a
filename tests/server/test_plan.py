import pytest
import torch

from metacompress_compressor.artifact import (
    ArtifactError,
    BaseModelInfo,
    CompressorConfig,
    load_artifact,
    save_artifact,
)
from metacompress_compressor.mapping import TokenMapping
from metacompress_server.pictures.details import UNCOMPRESSED
from metacompress_server.plan import Budget, CompressionPlan, load_plan, prompt_positions

KEPT = Budget(0.25, 4, (5, 7, 13, 15), 16, "2x2")
FEWER = Budget(0.1, 2, (4, 12), 16, "2x1")
CONTIGUOUS = Budget(0.25, 4, (0, 1, 2, 3), 4, "2x2")
KEEPING = CompressionPlan(16, True, {"auto": KEPT, "low": FEWER}, "digest")
RENUMBERING = CompressionPlan(16, False, {"auto": CONTIGUOUS}, "digest")


def test_text_alone_is_numbered_from_zero() -> None:
    assert prompt_positions(5, []) == [0, 1, 2, 3, 4, 5]


def test_a_picture_stands_at_its_window_centres_and_text_goes_on_after_all_its_tokens() -> None:
    positions = prompt_positions(2 + 4 + 3, [(2, KEPT)])
    assert positions == [0, 1, 2 + 5, 2 + 7, 2 + 13, 2 + 15, 18, 19, 20, 21]


def test_pictures_of_several_budgets_side_by_side_and_at_the_ends() -> None:
    positions = prompt_positions(4 + 2 + 1 + 4, [(0, KEPT), (4, FEWER), (7, KEPT)])
    assert positions == [
        *(5, 7, 13, 15),
        *(16 + 4, 16 + 12),
        32,
        *(33 + 5, 33 + 7, 33 + 13, 33 + 15),
        49,
    ]


@pytest.mark.parametrize("starts", [[], [0], [3], [3, 7], [0, 4, 10]])
@pytest.mark.parametrize("plan", [KEEPING, RENUMBERING])
def test_the_next_position_is_what_num_positions_says(
    plan: CompressionPlan, starts: list[int]
) -> None:
    budgets = [plan.budgets["auto"]] * len(starts)
    positions = prompt_positions(20, list(zip(starts, budgets, strict=True)))
    assert positions[-1] == plan.num_positions(20, [b.num_tokens for b in budgets])
    assert sorted(set(positions)) == positions


def test_mixed_budgets_take_the_same_positions_where_they_are_kept() -> None:
    positions = prompt_positions(20, [(1, KEPT), (5, FEWER)])
    assert positions[-1] == KEEPING.num_positions(20, [4, 2]) == 20 + 12 + 14
    assert RENUMBERING.num_positions(20, [4, 2]) == 20


@pytest.fixture
def config() -> CompressorConfig:
    info = BaseModelInfo(id="tiny", fingerprint="f", image_size=64, patch_size=8)
    return CompressorConfig.describe(
        TokenMapping(32, 8),
        positions="kept",
        retention_ratio=0.1,
        trained_retention_ratios=(0.25, 0.1, 0.5, 1.0),
        base_model=info,
    )


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, config: CompressorConfig) -> str:
    folder = tmp_path_factory.mktemp("artifact")
    torch.manual_seed(0)
    save_artifact(folder, TokenMapping(32, 8), config)
    return str(folder)


def test_a_plan_follows_from_the_artifact(folder: str) -> None:
    plan = load_plan(folder)
    assert (plan.num_visual_tokens, plan.num_compressed_tokens) == (64, 6)
    assert len(plan.budget(None).offsets) == 6
    assert plan.keeps_positions
    assert load_plan(folder) is plan


def test_detail_chooses_the_budget(folder: str) -> None:
    plan = load_plan(folder)
    chosen = {detail: plan.budget(detail).num_tokens for detail in ("low", "auto", "high")}
    assert chosen == {"low": 6, "auto": 6, "high": 30}
    assert plan.budget(UNCOMPRESSED).num_tokens == 64
    assert plan.budget(UNCOMPRESSED).offsets == tuple(range(64))
    with pytest.raises(ValueError, match="low or auto or high, not 'ultra'"):
        plan.budget("ultra")


@pytest.mark.parametrize(("retention", "kept"), [(0.1, 6), (0.2, 12), (0.5, 30), (1.0, 64)])
def test_the_server_sets_the_default_budget(folder: str, retention: float, kept: int) -> None:
    plan = load_plan(folder, retention)
    assert plan.num_compressed_tokens == kept
    assert plan.budget("low").num_tokens == 6


def test_a_budget_that_was_not_trained_is_refused(
    tmp_path_factory: pytest.TempPathFactory, config: CompressorConfig
) -> None:
    one = tmp_path_factory.mktemp("one")
    changed = config.model_copy(update={"trained_retention_ratios": (0.1, 0.25)})
    save_artifact(one, TokenMapping(32, 8), changed)
    for retention in (0.05, 0.3):
        with pytest.raises(ArtifactError, match=rf"--retention {retention} .*\(0.1 to 0.25\)"):
            load_plan(one, retention)
    assert load_plan(one, 1.0).num_compressed_tokens == 64
    wider = changed.model_copy(update={"trained_retention_range": (0.05, 0.2)})
    save_artifact(one, TokenMapping(32, 8), wider)
    load_plan.cache_clear()
    assert load_plan(one, 0.05).num_compressed_tokens == 2
    with pytest.raises(ArtifactError, match=r"\(0.05 to 0.25\)"):
        load_plan(one, 0.04)


def test_low_and_high_of_a_mapping_with_one_budget_are_that_budget(
    tmp_path_factory: pytest.TempPathFactory, config: CompressorConfig
) -> None:
    one = tmp_path_factory.mktemp("one")
    save_artifact(
        one, TokenMapping(32, 8), config.model_copy(update={"trained_retention_ratios": (0.1,)})
    )
    plan = load_plan(one)
    assert plan.budget("low") == plan.budget("high") == plan.budget("auto")


def test_identity_differs_with_weights_and_budgets_by_their_grids(
    tmp_path_factory: pytest.TempPathFactory, config: CompressorConfig
) -> None:
    identities = set()
    for seed in (0, 1):
        folder = tmp_path_factory.mktemp("artifact")
        torch.manual_seed(seed)
        save_artifact(folder, TokenMapping(32, 8), config)
        plan = load_plan(str(folder))
        assert plan.identity == load_artifact(folder).digest
        identities |= {(plan.identity, budget.identity) for budget in plan.budgets.values()}
    assert len(identities) == 2 * 3


def test_a_broken_folder_is_an_artifact_error(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(ArtifactError):
        load_plan(str(tmp_path_factory.mktemp("empty")))
