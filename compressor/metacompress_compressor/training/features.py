"""Visual tokens of every picture, computed once and kept on disk in half precision."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from metacompress_compressor.adapters import Adapter
from metacompress_compressor.layout import PictureLayout

from .dialogues import DataError
from .disk_cache import cached_tensor, checkpoint_digest

_PICTURES_AT_ONCE = 16
_DTYPE = torch.float16


@dataclass(frozen=True)
class Features:
    """Visual tokens of pictures, and the key of everything that they depend on.

    Attributes:
        tokens: `[all tokens, D]` float16, picture after picture.
        edges: picture i has the rows `edges[i]` up to `edges[i + 1]`.
        layouts: of each picture.
        key: digest of the model's weights and the pictures' bytes.
    """

    tokens: Tensor
    edges: tuple[int, ...]
    layouts: tuple[PictureLayout, ...]
    key: str

    def __getitem__(self, picture: int) -> Tensor:
        """One picture's tokens, `[N, D]`."""
        return self.tokens[self.edges[picture] : self.edges[picture + 1]]


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

    Raises:
        DataError: a picture that cannot be read, or features too large for half precision.
    """
    layouts = tuple(picture_layout(adapter, image) for image in images)
    edges = [0]
    for layout in layouts:
        edges.append(edges[-1] + layout.num_tokens)
    path = features_file(adapter, images, cache_dir)

    def fill(tokens: Tensor) -> None:
        done = 0
        for group in _groups_of_one_layout(layouts):
            found = _compute(adapter, [images[number] for number in group], layouts[group[0]])
            for number, one in zip(group, found, strict=True):
                tokens[edges[number] : edges[number + 1]] = one
            done += len(group)
            on_progress(done, len(images))

    shape = (edges[-1], adapter.hidden_size)
    tokens = cached_tensor(path, shape, _DTYPE, fill)
    on_progress(len(images), len(images))
    return Features(tokens, tuple(edges), layouts, path.stem.removeprefix("features-"))


def features_file(adapter: Adapter, images: Sequence[Path], cache_dir: Path) -> Path:
    """Where `cached_features` keeps the visual tokens of these pictures."""
    return cache_dir / f"features-{_cache_key(adapter, images)}.bin"


def picture_layout(adapter: Adapter, image: Path) -> PictureLayout:
    """The layout of a picture in a file, from its header alone.

    Raises:
        DataError: a file that is no picture, or a picture too narrow for the model.
    """
    try:
        with Image.open(image) as picture:
            return adapter.layout(picture.size)
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise DataError(f"cannot read picture {image}: {error}") from error


def _groups_of_one_layout(layouts: Sequence[PictureLayout]) -> Iterator[list[int]]:
    """Numbers of pictures in groups that go through the model together."""
    of_layout: dict[PictureLayout, list[int]] = {}
    for number, layout in enumerate(layouts):
        of_layout.setdefault(layout, []).append(number)
    for numbers in of_layout.values():
        for start in range(0, len(numbers), _PICTURES_AT_ONCE):
            yield numbers[start : start + _PICTURES_AT_ONCE]


def _cache_key(adapter: Adapter, images: Sequence[Path]) -> str:
    digest = hashlib.sha256(checkpoint_digest(adapter.model_dir).encode())
    if adapter.model.dtype != torch.float32:
        digest.update(str(adapter.model.dtype).encode())
    for image in images:
        digest.update(hashlib.sha256(image.read_bytes()).digest())
    return digest.hexdigest()[:32]


def _compute(adapter: Adapter, images: Sequence[Path], layout: PictureLayout) -> Tensor:
    """Visual tokens of pictures of one layout, `[B, N, D]` float16 on the CPU."""
    found = adapter.visual_tokens([_open(image) for image in images])
    wanted = (layout.num_tokens, adapter.hidden_size)
    if found.shape[1:] != wanted:
        raise DataError(
            f"the model gives {tuple(found.shape[1:])} visual tokens for {images[0]}, not {wanted}"
        )
    half = found.to("cpu", _DTYPE)
    if not half.isfinite().all():
        raise DataError(f"visual tokens near {images[0]} do not fit half precision")
    return half


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"cannot read picture {path}: {error}") from error
