"""The committed weights do what `docs/embedded-model.md` says, on dialogues made here and now."""

import pytest

from metacompress_compressor.adapters import load_adapter
from metacompress_compressor.artifact import load_artifact, verify_against_model
from metacompress_compressor.embedded import compressor_dir, model_dir
from metacompress_compressor.evaluation import evaluate
from metacompress_compressor.reductions import AveragePooling, Full, Mapped, Sample
from metacompress_compressor.scenes.__main__ import write_dialogues
from metacompress_compressor.training.corpus import encode_dialogues, join_features
from metacompress_compressor.training.dialogues import read_dialogues
from metacompress_compressor.training.features import cached_features

COUNT = 60


@pytest.fixture(scope="module")
def accuracy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Accuracy of each method on 300 fresh turns."""
    folder = tmp_path_factory.mktemp("held-out")
    write_dialogues(folder, seed=777, count=COUNT, num_turns=5)
    artifact = load_artifact(compressor_dir())
    adapter = load_adapter(model_dir())
    data, encoded = encode_dialogues(adapter, read_dialogues([folder]))
    features = cached_features(adapter, data.images, folder, lambda done, total: None)
    result = evaluate(
        adapter,
        join_features(data, encoded, features),
        [Full(), Sample("2d"), AveragePooling(), Mapped(artifact.mapping)],
        artifact.config.retention_ratio,
        artifact.config.positions,
    )
    return {name: method["accuracy"] for name, method in result["methods"].items()}


def test_the_artifact_belongs_to_the_model():
    verify_against_model(load_artifact(compressor_dir()).config, model_dir())


def test_the_model_answers_and_the_mapping_keeps_most_of_it(accuracy):
    assert accuracy["full"] > 0.90
    assert accuracy["mapping"] > 0.85


def test_the_mapping_beats_the_plain_baselines_by_far(accuracy):
    assert accuracy["mapping"] > accuracy["avgpool_2d"] + 0.05
    assert accuracy["mapping"] > accuracy["sample"] + 0.30
