"""The fingerprint knows the projector and nothing else."""

import pytest
import torch
from safetensors.torch import save_file

from metacompress_compressor.fingerprint import CheckpointError, model_fingerprint


def tensors():
    generator = torch.Generator().manual_seed(0)
    return {
        "multi_modal_projector.linear_1.weight": torch.randn(8, 4, generator=generator),
        "multi_modal_projector.linear_1.bias": torch.randn(8, generator=generator),
        "multi_modal_projector.linear_2.weight": torch.randn(6, 8, generator=generator),
        "language_model.embed.weight": torch.randn(9, 6, generator=generator),
    }


def write(folder, *shards):
    folder.mkdir()
    for number, shard in enumerate(shards):
        save_file(shard, folder / f"model-{number}.safetensors")
    return folder


def test_shards_spellings_and_other_tensors_do_not_matter(tmp_path):
    whole = tensors()
    items = list(whole.items())
    renamed = {f"model.{name}": tensor for name, tensor in whole.items()}
    other_language_model = {**whole, "language_model.embed.weight": torch.zeros(1)}
    fingerprints = {
        model_fingerprint(write(tmp_path / "whole", whole)),
        model_fingerprint(write(tmp_path / "shards", dict(items[1:]), dict(items[:1]))),
        model_fingerprint(write(tmp_path / "renamed", renamed)),
        model_fingerprint(write(tmp_path / "other", other_language_model)),
    }
    assert len(fingerprints) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.add_(1e-3),
        lambda t: t.half(),
        lambda t: t.reshape(4, 8),
    ],
)
def test_any_change_of_the_projector_matters(tmp_path, change):
    name = "multi_modal_projector.linear_1.weight"
    before = model_fingerprint(write(tmp_path / "before", tensors()))
    changed = tensors()
    changed[name] = change(changed[name])
    assert model_fingerprint(write(tmp_path / "after", changed)) != before


def test_folders_that_hold_no_projector(tmp_path):
    with pytest.raises(CheckpointError, match=r"no \*.safetensors file in model folder"):
        model_fingerprint(tmp_path)
    with pytest.raises(CheckpointError, match="no tensor named"):
        model_fingerprint(write(tmp_path / "text", {"embed.weight": torch.zeros(2)}))


@pytest.mark.parametrize(
    "content", [b"", b"version https://git-lfs", b"\x08" + bytes(7) + b"notjson!"]
)
def test_broken_files_are_named(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        model_fingerprint(tmp_path)
