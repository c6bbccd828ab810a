"""From a picture, a checkpoint and an artifact to the PNG and its figures."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image, UnidentifiedImageError

from metacompress_compressor.adapters import load_adapter
from metacompress_compressor.artifact import load_artifact, verify_against_model
from metacompress_compressor.windows import compressed_grid

from .compare import compare
from .figure import draw_figure
from .measure import measure_weights


class PictureError(ValueError):
    """A picture that cannot be read or written, or a budget out of range. One line."""


@torch.no_grad()
def inspect_picture(
    image: Path, model_dir: Path, artifact_dir: Path, out: Path, retention_ratio: float | None
) -> dict[str, Any]:
    """Draw where each kept token of `image` looks, and write the sheet to `out`.

    Beside it: equidistant sampling of as many tokens, and the class token's attention.

    Args:
        image: the picture.
        model_dir, artifact_dir: a checkpoint and an artifact trained for it.
        out: PNG to write.
        retention_ratio: kept share; None for the artifact's default.

    Returns:
        Numbers of visual tokens, the figures of P, and how it compares.

    Raises:
        AdapterError, ArtifactError: model or artifact cannot be used, or do not fit together.
        PictureError: see there.
    """
    artifact = load_artifact(artifact_dir)
    verify_against_model(artifact.config, model_dir)
    ratio = artifact.config.retention_ratio if retention_ratio is None else retention_ratio
    adapter = load_adapter(model_dir)
    try:
        compressed = compressed_grid(adapter.grid, ratio, artifact.mapping.windows)
    except ValueError as error:
        raise PictureError(str(error)) from error

    picture = _open(image)
    visual = adapter.visual_tokens([picture])
    weights = artifact.mapping.weights(visual, adapter.grid, ratio)[0]
    figures = measure_weights(weights)
    summary = figures.summary()
    comparison = compare(adapter, [picture], visual, weights)
    overviews = comparison.overviews(summary["max_column_sum"], summary["unseen_share"])
    sheet = draw_figure(picture, weights, adapter.grid, compressed.cols, figures, overviews)
    try:
        sheet.save(out, format="PNG")
    except OSError as error:
        raise PictureError(f"cannot write {out}: {error.strerror}") from error
    return {
        "image_tokens_original": adapter.grid.num_tokens,
        "image_tokens": weights.shape[0],
        **summary,
        **comparison.figures(),
        "out": str(out),
    }


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise PictureError(f"cannot read picture {path}: {error}") from error
