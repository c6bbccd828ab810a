"""A compressor that does not fit the model stops the start with one line, before vLLM is loaded."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_llava import save_checkpoint, save_compressor

from metacompress_server.cli import main

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 2.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 320,
}


def refused(capsys: pytest.CaptureFixture[str], model: Path, compressor: Path) -> str:
    """The one line of a start that fails, with exit status 2."""
    capsys.readouterr()
    assert main(["serve", str(model), "--compressor", str(compressor)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def edit(artifact: Path, **changes: Any) -> Path:
    path = artifact / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return artifact


@pytest.fixture
def artifact(tmp_path: Path, checkpoint: Path) -> Path:
    return save_compressor(tmp_path / "artifact", checkpoint)


def test_another_model(capsys: pytest.CaptureFixture[str], tmp_path: Path, artifact: Path) -> None:
    other = save_checkpoint(tmp_path / "other", seed=5)
    assert "fingerprint" in refused(capsys, other, artifact)


def test_other_weights(
    capsys: pytest.CaptureFixture[str], checkpoint: Path, artifact: Path
) -> None:
    weights = artifact / "compressor.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert "sha256" in refused(capsys, checkpoint, artifact)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hidden_size": 128}, "128"),
        ({"retention_ratio": 0}, "retention_ratio"),
        ({"windows": "3d"}, "windows"),
        ({"format_version": 99}, "99"),
    ],
)
def test_other_dimensions_or_rules(
    capsys: pytest.CaptureFixture[str],
    checkpoint: Path,
    artifact: Path,
    changes: dict[str, Any],
    reason: str,
) -> None:
    assert reason in refused(capsys, checkpoint, edit(artifact, **changes))


def test_no_artifact_at_all(
    capsys: pytest.CaptureFixture[str], checkpoint: Path, tmp_path: Path
) -> None:
    assert "nowhere" in refused(capsys, checkpoint, tmp_path / "nowhere")


def test_rope_that_cannot_keep_positions_asks_for_contiguous_ones(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = save_checkpoint(tmp_path / "llama3", rope_parameters=LLAMA3)
    kept = save_compressor(tmp_path / "kept", model)
    line = refused(capsys, model, kept)
    assert "llama3" in line
    assert "contiguous" in line


def test_nothing_heavy_is_imported_for_that(checkpoint: Path, tmp_path: Path) -> None:
    """In a process of its own: this one has seen other tests."""
    words = ["serve", str(checkpoint), "--compressor", str(tmp_path / "nowhere")]
    code = (
        "import sys; from metacompress_server.cli import main; "
        f"status = main({words!r}); print(status, 'vllm.engine' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["2", "False"]
