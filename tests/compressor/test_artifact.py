"""Artifacts survive the round trip, and whatever is wrong with one is named in one line."""

import json

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

from metacompress_compressor.artifact import (
    ArtifactError,
    BaseModelInfo,
    CompressorConfig,
    load_artifact,
    save_artifact,
    verify_against_model,
)
from metacompress_compressor.fingerprint import model_fingerprint
from metacompress_compressor.mapping import TokenMapping
from metacompress_compressor.windows import Grid

GRID = Grid(4, 4)


@pytest.fixture
def model_dir(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    vision = CLIPVisionConfig(image_size=32, patch_size=8)
    text = LlamaConfig(hidden_size=16, num_attention_heads=2, num_key_value_heads=2)
    LlavaConfig(vision_config=vision, text_config=text).save_pretrained(folder)
    projector = {
        "multi_modal_projector.linear_1.weight": torch.ones(16, 12),
        "multi_modal_projector.linear_2.weight": torch.ones(16, 16),
    }
    save_file(projector, folder / "model.safetensors")
    return folder


@pytest.fixture
def config(model_dir):
    return CompressorConfig.describe(
        TokenMapping(16, 8, method="competing"),
        positions="kept",
        retention_ratio=0.25,
        trained_retention_ratios=(0.1, 0.25),
        base_model=BaseModelInfo(
            id="tiny", fingerprint=model_fingerprint(model_dir), image_size=32, patch_size=8
        ),
        training={"steps": 3},
        evaluation={"accuracy": 0.5},
    )


@pytest.fixture
def folder(tmp_path, config):
    torch.manual_seed(0)
    mapping = config.build_mapping()
    torch.nn.init.normal_(mapping.beta)
    save_artifact(tmp_path / "artifact", mapping, config)
    return tmp_path / "artifact"


def edit(folder, **changes):
    path = folder / "config.json"
    raw = json.loads(path.read_text())
    for name, value in changes.items():
        if value is None:
            del raw[name]
        else:
            raw[name] = value
    path.write_text(json.dumps(raw))


@pytest.mark.parametrize("method", ["row_softmax", "competing"])
@pytest.mark.parametrize("windows", ["1d", "2d"])
@pytest.mark.parametrize("conditioning", ["none", "budget"])
def test_round_trip_keeps_the_bits(tmp_path, config, method, windows, conditioning):
    form = {"method": method, "windows": windows, "conditioning": conditioning}
    mapping = TokenMapping(16, 8, token_norm="none", **form)
    for parameter in mapping.parameters():
        torch.nn.init.normal_(parameter)
    config = config.model_copy(update={**form, "token_norm": "none"})
    written = save_artifact(tmp_path / "artifact", mapping, config)
    artifact = load_artifact(tmp_path / "artifact")
    assert artifact.config == written
    x = torch.randn(2, 16, 16)
    with torch.no_grad():
        assert torch.equal(artifact.mapping(x, GRID, 0.25), mapping(x, GRID, 0.25))
    assert not any(parameter.requires_grad for parameter in artifact.mapping.parameters())


def test_digest_names_weights_and_configuration(folder, config):
    first = load_artifact(folder).digest
    assert load_artifact(folder).digest == first
    edit(folder, positions="contiguous")
    second = load_artifact(folder).digest
    save_artifact(folder, config.build_mapping(), config)
    assert len({first, second, load_artifact(folder).digest}) == 3


def test_an_artifact_from_before_conditioning_has_none(folder):
    edit(folder, conditioning=None)
    assert not load_artifact(folder).mapping.conditioned


@pytest.mark.parametrize("name", ["config.json", "compressor.safetensors"])
def test_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=f"^cannot read .*{name}: No such file"):
        load_artifact(folder)


def test_config_that_is_not_json(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"config\.json is not JSON"):
        load_artifact(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 9}, "format_version 9; this version reads 1"),
        ({"format_version": None}, "format_version None"),
        ({"method": "magic"}, "method is 'magic'"),
        ({"windows": "3d"}, "windows is '3d'"),
        ({"positions": "random"}, "positions is 'random'"),
        ({"retention_ratio": 1.5}, "retention_ratio is 1.5"),
        ({"trained_retention_ratios": []}, "trained_retention_ratios"),
        ({"surprise": 1}, "surprise is 1: Extra inputs"),
        ({"base_model": {"id": "x"}}, r"base_model\.fingerprint"),
        ({"weights_sha256": "0" * 64}, "but config.json says 0000"),
        ({"key_dim": 4}, r"beta is \[8\], not \[4\]"),
        ({"method": "row_softmax"}, "token_direction"),
    ],
)
def test_bad_values_are_named(folder, changes, message):
    edit(folder, **changes)
    with pytest.raises(ArtifactError, match=message) as caught:
        load_artifact(folder)
    assert "\n" not in str(caught.value)


def rewrite_weights(folder, data):
    import hashlib

    (folder / "compressor.safetensors").write_bytes(data)
    edit(folder, weights_sha256=hashlib.sha256(data).hexdigest())


def test_changed_weights_do_not_match_their_digest(folder):
    path = folder / "compressor.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ArtifactError, match="has sha256"):
        load_artifact(folder)


def test_weights_that_are_no_safetensors(folder):
    rewrite_weights(folder, b"not safetensors at all")
    with pytest.raises(ArtifactError, match="is not a safetensors file"):
        load_artifact(folder)


def test_weights_that_are_not_finite(folder, tmp_path):
    state = load_file(folder / "compressor.safetensors")
    save_file({**state, "beta": torch.full((8,), torch.nan)}, tmp_path / "nan.safetensors")
    rewrite_weights(folder, (tmp_path / "nan.safetensors").read_bytes())
    with pytest.raises(ArtifactError, match="beta has entries that are not finite"):
        load_artifact(folder)


def test_config_is_frozen(config):
    with pytest.raises(ValidationError, match="frozen"):
        config.method = "row_softmax"


def test_fits_its_own_model(config, model_dir):
    verify_against_model(config, model_dir)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 32}, "hidden_size 32, but model .* has 16"),
        ({"image_size": 64}, "image_size 64, but model .* has 32"),
        ({"patch_size": 4}, "patch_size 4, but model .* has 8"),
        ({"fingerprint": "f" * 64}, "fingerprint ffff"),
    ],
)
def test_another_model_is_refused(config, model_dir, changes, message):
    base = config.base_model.model_copy(
        update={name: value for name, value in changes.items() if name != "hidden_size"}
    )
    size = changes.get("hidden_size", config.hidden_size)
    other = config.model_copy(update={"base_model": base, "hidden_size": size})
    with pytest.raises(ArtifactError, match=message):
        verify_against_model(other, model_dir)


def test_a_folder_that_is_no_model_is_refused(config, tmp_path):
    with pytest.raises(ArtifactError, match="no vision configuration"):
        verify_against_model(config, tmp_path)


def test_a_model_without_weights_is_refused(config, model_dir):
    (model_dir / "model.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"no \*\.safetensors file"):
        verify_against_model(config, model_dir)
