"""Which part of a picture the vision tower sees: some image processors cut off what is too long."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Box:
    """A rectangle, in shares of the picture's width and height. It may reach beyond the picture."""

    left: float
    top: float
    width: float
    height: float


def visible_part(width: int, height: int, processor: Mapping[str, Any]) -> Box:
    """Where in a picture the tower's tokens lie.

    Args:
        width, height: of the picture, in pixels.
        processor: `do_resize`, `size`, `do_center_crop` and `crop_size` of the checkpoint's image
            processor, as CLIP's has them.
    """
    resized = _resized(width, height, processor)
    if not processor.get("do_center_crop"):
        return Box(0.0, 0.0, 1.0, 1.0)
    crop = processor["crop_size"]
    shares = (crop["width"] / resized[0], crop["height"] / resized[1])
    return Box((1 - shares[0]) / 2, (1 - shares[1]) / 2, *shares)


def _resized(width: int, height: int, processor: Mapping[str, Any]) -> tuple[float, float]:
    """The size before the cut."""
    size = processor.get("size") or {}
    if not processor.get("do_resize"):
        return width, height
    if "shortest_edge" in size:
        scale = size["shortest_edge"] / min(width, height)
        return width * scale, height * scale
    return size["width"], size["height"]
