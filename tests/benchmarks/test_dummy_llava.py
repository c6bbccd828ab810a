from pathlib import Path

import pytest

from benchmarks.dummy_llava import SHAPES, TINY, save_dummy_compressor, save_dummy_llava
from metacompress_compressor.artifact import ArtifactError, load_artifact, verify_against_model
from metacompress_server.capacity.checkpoint_model import checkpoint_model
from metacompress_server.plan import CompressionPlan


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("dummy")
    checkpoint = save_dummy_llava(folder / "model", TINY)
    return checkpoint, save_dummy_compressor(folder / "compressor", checkpoint, TINY)


def test_the_folder_has_the_shape_and_no_weights_but_a_projector(
    folders: tuple[Path, Path],
) -> None:
    found = checkpoint_model(folders[0])
    assert (found.language, found.vision) == (TINY.language, TINY.vision)
    assert found.pictures == TINY.pictures
    projector = 2 * (64 * 128 + 128 + 128 * 128 + 128)
    assert projector < found.stored_bytes < 2 * projector


def test_the_artifact_fits_its_folder_and_no_other(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    checkpoint, compressor = folders
    config = load_artifact(compressor).config
    verify_against_model(config, checkpoint)
    other = save_dummy_llava(tmp_path / "other", TINY, seed=1)
    with pytest.raises(ArtifactError, match="fingerprint"):
        verify_against_model(config, other)


def test_the_papers_budgets_have_names(folders: tuple[Path, Path]) -> None:
    plan = CompressionPlan.of(load_artifact(folders[1]))
    ratios = [plan.budget(name).retention_ratio for name in ("low", "auto", "high", "full")]
    assert ratios == [0.05, 0.1, 0.3, 1.0]


def test_only_what_the_server_takes_has_a_profile() -> None:
    assert set(SHAPES) == {"llava-1.5-7b", "llava-1.5-13b", "tiny"}
