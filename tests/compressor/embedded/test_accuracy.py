"""The committed weights do what `docs/embedded-model.md` says, on dialogues made here and now."""

import pytest
from rich.progress import Progress

from metacompress_compressor.adapters import load_adapter
from metacompress_compressor.artifact import load_artifact, verify_against_model
from metacompress_compressor.embedded import compressor_dir, model_dir
from metacompress_compressor.embedded.report import load_corpus, measure
from metacompress_compressor.scenes.__main__ import write_dialogues

COUNT = 60


@pytest.fixture(scope="module")
def accuracy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Accuracy of each method on 300 fresh turns."""
    folder = tmp_path_factory.mktemp("held-out")
    write_dialogues(folder, seed=777, count=COUNT, num_turns=5)
    adapter, artifact = load_adapter(model_dir()), load_artifact(compressor_dir())
    progress = Progress(disable=True)
    corpus = load_corpus(adapter, folder, folder, progress)
    result = measure(adapter, corpus, artifact, artifact.config.positions, progress)
    return {name: method["accuracy"] for name, method in result["methods"].items()}


def test_the_artifact_belongs_to_the_model():
    verify_against_model(load_artifact(compressor_dir()).config, model_dir())


def test_the_model_answers_and_the_mapping_keeps_most_of_it(accuracy):
    assert accuracy["full"] > 0.90
    assert accuracy["mapping"] > 0.85


def test_the_mapping_beats_the_plain_baselines_by_far(accuracy):
    assert accuracy["mapping"] > accuracy["avgpool_2d"] + 0.05
    assert accuracy["mapping"] > accuracy["sample"] + 0.10
