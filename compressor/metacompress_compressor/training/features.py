"""Visual tokens of every picture, computed once and kept on disk in half precision."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from metacompress_compressor.adapters import Adapter

from .dialogues import DataError
from .disk_cache import cached_tensor, checkpoint_digest

_PICTURES_AT_ONCE = 16
_DTYPE = torch.float16


@dataclass(frozen=True)
class Features:
    """Visual tokens of pictures, and the key of everything that they depend on."""

    tokens: Tensor
    key: str


def cached_features(
    adapter: Adapter,
    images: Sequence[Path],
    cache_dir: Path,
    on_progress: Callable[[int, int], None],
) -> Features:
    """Visual tokens of `images`, from the cache if it holds them.

    The cache's name is a digest of the model's weights and of every picture's bytes, so a changed
    model or picture is computed anew.

    Args:
        adapter: the frozen model.
        images: paths of pictures.
        cache_dir: folder for the file, made if missing.
        on_progress: called with pictures done and pictures in all.

    Returns:
        Tokens `[len(images), N, D]` float16, mapped from the file.

    Raises:
        DataError: a picture that cannot be read, or features too large for half precision.
    """
    shape = (len(images), adapter.grid.num_tokens, adapter.hidden_size)
    key = _cache_key(adapter, images)
    tokens = cached_tensor(
        cache_dir / f"features-{key}.bin",
        shape,
        _DTYPE,
        lambda features: _fill(adapter, images, features, on_progress),
    )
    on_progress(len(images), len(images))
    return Features(tokens, key)


def _cache_key(adapter: Adapter, images: Sequence[Path]) -> str:
    digest = hashlib.sha256(checkpoint_digest(adapter.model_dir).encode())
    for image in images:
        digest.update(hashlib.sha256(image.read_bytes()).digest())
    return digest.hexdigest()[:32]


def _fill(
    adapter: Adapter,
    images: Sequence[Path],
    features: Tensor,
    on_progress: Callable[[int, int], None],
) -> None:
    for start in range(0, len(images), _PICTURES_AT_ONCE):
        paths = images[start : start + _PICTURES_AT_ONCE]
        tokens = adapter.visual_tokens([_open(path) for path in paths])
        if tokens.shape[1:] != features.shape[1:]:
            raise DataError(
                f"the model gives {tuple(tokens.shape[1:])} visual tokens for {paths[0]}, "
                f"not {tuple(features.shape[1:])}"
            )
        if not tokens.to(_DTYPE).isfinite().all():
            raise DataError(f"visual tokens near {paths[0]} do not fit half precision")
        features[start : start + len(paths)] = tokens.to("cpu", _DTYPE)
        on_progress(start + len(paths), len(images))


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"cannot read picture {path}: {error}") from error
