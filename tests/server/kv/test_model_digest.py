"""Checkpoints are told apart by their weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from metacompress_server.kv.model_digest import model_digest


def write(folder: Path, **tensors: torch.Tensor) -> Path:
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    return folder


def test_equal_weights_have_equal_digests(tmp_path: Path) -> None:
    weights = {"a": torch.arange(9000.0), "b": torch.ones(3)}
    assert model_digest(write(tmp_path / "x", **weights)) == model_digest(
        write(tmp_path / "y", **weights)
    )


@pytest.mark.parametrize("change", ["value", "shape", "name"])
def test_other_weights_have_another_digest(tmp_path: Path, change: str) -> None:
    base = write(tmp_path / "x", a=torch.arange(9000.0), b=torch.ones(4))
    changed = {
        "value": {"a": torch.arange(9000.0), "b": torch.ones(4) * 1.001},
        "shape": {"a": torch.arange(9000.0).view(90, 100), "b": torch.ones(4)},
        "name": {"a": torch.arange(9000.0), "c": torch.ones(4)},
    }[change]
    assert model_digest(base) != model_digest(write(tmp_path / "y", **changed))


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        model_digest(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 50)
    with pytest.raises(ValueError, match="no safetensors"):
        model_digest(tmp_path)
