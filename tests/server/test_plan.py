import pytest
import torch

from metacompress_compressor.artifact import (
    ArtifactError,
    BaseModelInfo,
    CompressorConfig,
    save_artifact,
)
from metacompress_compressor.mapping import TokenMapping
from metacompress_server.plan import CompressionPlan, load_plan

KEPT = CompressionPlan(16, 4, (5, 7, 13, 15), "digest/4")
CONTIGUOUS = CompressionPlan(16, 4, None, "digest/4")


def test_text_alone_is_numbered_from_zero() -> None:
    assert KEPT.positions(5, []) == [0, 1, 2, 3, 4]


def test_a_picture_stands_at_its_window_centres_and_text_goes_on_after_all_its_tokens() -> None:
    positions = KEPT.positions(2 + 4 + 3, [2])
    assert positions == [0, 1, 2 + 5, 2 + 7, 2 + 13, 2 + 15, 18, 19, 20]


def test_pictures_side_by_side_and_at_the_ends() -> None:
    positions = KEPT.positions(4 + 4 + 1 + 4, [0, 4, 9])
    second, third = 16, 33
    assert positions == [
        *(5, 7, 13, 15),
        *(second + 5, second + 7, second + 13, second + 15),
        32,
        *(third + 5, third + 7, third + 13, third + 15),
    ]


@pytest.mark.parametrize("plan", [KEPT, CONTIGUOUS])
@pytest.mark.parametrize("starts", [[], [0], [3], [3, 7], [0, 4, 10]])
def test_the_next_position_is_what_num_positions_says(
    plan: CompressionPlan, starts: list[int]
) -> None:
    prompt = plan.positions(20, starts)
    longer = plan.positions(21, starts)
    assert longer[:20] == prompt
    assert longer[20] == plan.num_positions(20, len(starts))
    assert sorted(set(longer)) == longer


def test_contiguous_positions_take_m_per_picture() -> None:
    assert CONTIGUOUS.positions(9, [2]) == list(range(9))
    assert CONTIGUOUS.num_positions(9, 1) == 9
    assert KEPT.num_positions(9, 1) == 9 + 12


@pytest.fixture
def config() -> CompressorConfig:
    info = BaseModelInfo(id="tiny", fingerprint="f", image_size=64, patch_size=8)
    return CompressorConfig.describe(
        TokenMapping(32, 8),
        positions="kept",
        retention_ratio=0.1,
        trained_retention_ratios=(0.1,),
        base_model=info,
    )


def test_a_plan_follows_from_the_artifact(
    tmp_path_factory: pytest.TempPathFactory, config: CompressorConfig
) -> None:
    folder = tmp_path_factory.mktemp("artifact")
    torch.manual_seed(0)
    save_artifact(folder, TokenMapping(32, 8), config)
    plan = load_plan(str(folder))
    assert (plan.num_visual_tokens, plan.num_compressed_tokens) == (64, 6)
    assert plan.offsets is not None
    assert len(plan.offsets) == 6
    assert not plan.bypass
    assert load_plan(str(folder)) is plan


def test_identity_differs_with_weights_and_with_budget(
    tmp_path_factory: pytest.TempPathFactory, config: CompressorConfig
) -> None:
    identities = set()
    for seed, ratio in ((0, 0.1), (1, 0.1), (0, 0.25)):
        folder = tmp_path_factory.mktemp("artifact")
        torch.manual_seed(seed)
        changed = config.model_copy(update={"retention_ratio": ratio})
        save_artifact(folder, TokenMapping(32, 8), changed)
        identities.add(load_plan(str(folder)).identity)
    assert len(identities) == 3


def test_a_full_budget_is_a_bypass(
    tmp_path_factory: pytest.TempPathFactory, config: CompressorConfig
) -> None:
    folder = tmp_path_factory.mktemp("artifact")
    save_artifact(folder, TokenMapping(32, 8), config.model_copy(update={"retention_ratio": 1.0}))
    plan = load_plan(str(folder))
    assert plan.bypass
    assert plan.offsets == tuple(range(64))
    assert plan.skipped_positions == 0


def test_a_broken_folder_is_an_artifact_error(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(ArtifactError):
        load_plan(str(tmp_path_factory.mktemp("empty")))
