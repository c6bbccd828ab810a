"""The tiny model's dialogues with features, and an artifact for it."""

import pytest
import torch

from metacompress_compressor.adapters import load_adapter
from metacompress_compressor.artifact import CompressorConfig, save_artifact
from metacompress_compressor.mapping import TokenMapping
from metacompress_compressor.training.corpus import encode_dialogues, join_features
from metacompress_compressor.training.dialogues import read_dialogues
from metacompress_compressor.training.features import cached_features


@pytest.fixture(scope="session")
def adapter(tiny_llava):
    return load_adapter(tiny_llava)


@pytest.fixture
def corpus(adapter, dialogue_folder, tmp_path):
    data, encoded = encode_dialogues(adapter, read_dialogues([dialogue_folder]))
    features = cached_features(adapter, data.images, tmp_path, lambda done, total: None)
    return join_features(data, encoded, features)


@pytest.fixture
def make_artifact(adapter, tmp_path):
    """Saves a random artifact in a folder of a given name."""

    def make(name, windows="2d", seed=0):
        torch.manual_seed(seed)
        mapping = TokenMapping(adapter.hidden_size, 8, windows=windows)
        config = CompressorConfig.describe(
            mapping,
            positions="kept",
            retention_ratio=0.25,
            trained_retention_ratios=(0.25,),
            base_model=adapter.base_model_info(),
            training={"steps": 5, "column_weight": 0.3, "seed": seed, "device": "abacus"},
        )
        save_artifact(tmp_path / name, mapping, config)
        return tmp_path / name

    return make
