"""Visual tokens of every picture, computed once and kept on disk in half precision."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from metacompress_compressor.adapters import Adapter

from .dialogues import DataError

_PICTURES_AT_ONCE = 16
_DTYPE = torch.float16


def cached_features(
    adapter: Adapter,
    images: Sequence[Path],
    cache_dir: Path,
    on_progress: Callable[[int, int], None],
) -> Tensor:
    """Visual tokens of `images`, from the cache if it holds them.

    The cache's name is a digest of the projector and of every picture's bytes, so a changed model
    or picture is computed anew. The file appears under its name only when it is complete.

    Args:
        adapter: the frozen model.
        images: paths of pictures.
        cache_dir: folder for the file, made if missing.
        on_progress: called with pictures done and pictures in all.

    Returns:
        `[len(images), N, D]` float16, mapped from the file.

    Raises:
        DataError: a picture that cannot be read, or features too large for half precision.
    """
    cache_dir.mkdir(parents=True, exist_ok=True)
    path = cache_dir / f"features-{_cache_key(adapter, images)}.bin"
    shape = (len(images), adapter.grid.num_tokens, adapter.hidden_size)
    if not path.exists():
        partial = path.with_suffix(".partial")
        _fill(adapter, images, _map(partial, shape), on_progress)
        partial.rename(path)
    on_progress(len(images), len(images))
    return _map(path, shape)


def _cache_key(adapter: Adapter, images: Sequence[Path]) -> str:
    digest = hashlib.sha256(adapter.base_model_info().model_dump_json().encode())
    for image in images:
        digest.update(hashlib.sha256(image.read_bytes()).digest())
    return digest.hexdigest()[:32]


def _map(path: Path, shape: tuple[int, int, int]) -> Tensor:
    count = shape[0] * shape[1] * shape[2]
    return torch.from_file(str(path), shared=True, size=count, dtype=_DTYPE).view(shape)


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
