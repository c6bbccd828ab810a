from pathlib import Path

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
from metacompress_compressor.windows import Grid
from metacompress_server.engine.compressors import LoadedCompressors, PictureBudget
from metacompress_server.engine.worker import CompressorWorker

GRID = Grid(8, 8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    info = BaseModelInfo(id="tiny", fingerprint="f", image_size=64, patch_size=8)
    made = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        mapping = TokenMapping(32, 8)
        config = CompressorConfig.describe(
            mapping,
            positions="kept",
            retention_ratio=0.1,
            trained_retention_ratios=(0.1, 0.5),
            base_model=info,
        )
        made.append(tmp_path_factory.mktemp("artifact"))
        save_artifact(made[-1], mapping, config)
    return made


@pytest.fixture
def loaded(folders: list[Path]) -> LoadedCompressors:
    compressors = LoadedCompressors("cpu", torch.float32)
    for folder in folders:
        compressors.load(folder)
    return compressors


@pytest.mark.parametrize("ratio", [0.1, 1 / 3, 1.0])
def test_a_budget_survives_its_way_through_tensors(ratio: float) -> None:
    picture = PictureBudget("0123456789abcdef" * 4, ratio)
    digest, number = picture.tensors()
    assert (digest.shape, digest.dtype, number.dtype) == ((32,), torch.uint8, torch.float64)
    assert PictureBudget.read(digest, number) == picture


@torch.no_grad()
def test_each_picture_goes_through_its_own_mapping_to_its_own_budget(
    folders: list[Path], loaded: LoadedCompressors
) -> None:
    first, second = loaded.digests
    mappings = [load_artifact(folder).mapping for folder in folders]
    x = torch.randn(5, 64, 32, generator=torch.Generator().manual_seed(3))
    wanted = [(first, 0.5), (second, 0.1), (first, 0.5), (first, 1.0), (second, 0.5)]
    outputs = loaded.compress(x, [PictureBudget(*one) for one in wanted])
    assert [len(output) for output in outputs] == [30, 6, 30, 64, 30]
    for i, (digest, ratio) in enumerate(wanted):
        mapping = mappings[digest == second]
        assert torch.equal(outputs[i], mapping(x[i : i + 1], GRID, ratio)[0])
    assert torch.equal(outputs[3], x[3])


def test_a_mapping_loaded_again_is_the_last_and_held_once(
    folders: list[Path], loaded: LoadedCompressors
) -> None:
    first, second = loaded.digests
    assert loaded.load(folders[0]) == first
    assert loaded.digests == [second, first]


def test_a_mapping_that_nobody_loaded_is_no_guess(loaded: LoadedCompressors) -> None:
    with pytest.raises(KeyError):
        loaded.compress(torch.zeros(1, 64, 32), [PictureBudget("00" * 32, 0.1)])


def test_weights_take_the_models_dtype(folders: list[Path]) -> None:
    compressors = LoadedCompressors("cpu", torch.bfloat16)
    digest = compressors.load(folders[0])
    visual_tokens = torch.randn(1, 64, 32).bfloat16()
    with torch.no_grad():
        (output,) = compressors.compress(visual_tokens, [PictureBudget(digest, 0.1)])
    assert output.dtype == torch.bfloat16
    assert torch.isfinite(output).all()


class Runner:
    def __init__(self, compressors: LoadedCompressors) -> None:
        self.compressors = compressors

    def get_model(self) -> "Runner":
        return self


class Worker(CompressorWorker):
    """A worker as vLLM mixes it."""

    def __init__(self, compressors: LoadedCompressors) -> None:
        self.model_runner = Runner(compressors)


def test_a_worker_says_what_it_holds_and_never_raises(
    folders: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    compressors = LoadedCompressors("cpu", torch.float32)
    first = compressors.load(folders[0])
    second = load_artifact(folders[1]).digest
    worker = Worker(compressors)
    empty = tmp_path_factory.mktemp("empty")
    assert "cannot read" in worker.metacompress_worker_load(str(empty), second)
    assert worker.metacompress_worker_compressors() == [first]
    assert worker.metacompress_worker_load(str(folders[1]), second) == ""
    assert worker.metacompress_worker_compressors() == [first, second]
    assert "not 0000" in worker.metacompress_worker_load(str(folders[0]), "0" * 64)
    assert worker.metacompress_worker_compressors() == [first, second]
    with pytest.raises(ArtifactError):
        compressors.load(empty)
