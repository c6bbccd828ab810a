"""Real vLLM servers around tiny random checkpoints; makes the helpers beside it importable."""

import base64
import io
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

from reference import Reference
from running_server import RunningServer, Serve, serve
from tiny_llava import save_checkpoint, save_compressor


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny-llava")


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Path:
    """An artifact that keeps positions, for several budgets."""
    budgets = (0.1, 0.25, 0.5)
    folder = tmp_path_factory.mktemp("kept")
    return save_compressor(folder, checkpoint, trained_retention_ratios=budgets)


@pytest.fixture(scope="session")
def contiguous(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Path:
    """An artifact that numbers positions contiguously, with the other method and windows."""
    folder = tmp_path_factory.mktemp("contiguous")
    return save_compressor(folder, checkpoint, seed=2, positions="contiguous", competing=True)


@pytest.fixture(scope="session")
def serve_logged(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """`serve` with its log in a temporary folder."""
    return partial(serve, log_dir=tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="session")
def server(checkpoint: Path, kept: Path, serve_logged: Serve) -> Iterator[RunningServer]:
    """The compressing server that most tests share; long prompts are prefilled in chunks."""
    command = ["serve", str(checkpoint), "--compressor", str(kept)]
    with serve_logged(command, ["--max-num-batched-tokens", "64"]) as running:
        yield running


@pytest.fixture(scope="session")
def reference(checkpoint: Path, kept: Path) -> Reference:
    return Reference(checkpoint, kept)


def make_picture(seed: int) -> Image.Image:
    """Noise of an odd size, so that every picture has an identity and must be resized."""
    pixels = np.random.default_rng(seed).integers(0, 255, (80, 91, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="session")
def picture() -> Callable[[int], Image.Image]:
    return make_picture


@pytest.fixture(scope="session")
def data_url() -> Callable[[Image.Image], str]:
    def encode(image: Image.Image) -> str:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()

    return encode


@pytest.fixture(scope="session")
def data_url_of_file() -> Callable[[Path], str]:
    """A PNG file as it is."""

    def encode(path: Path) -> str:
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()

    return encode
