"""What the front door knows of a picture, carried by the picture itself."""

from dataclasses import dataclass
from typing import Any

TAG = "metacompress"
"""Key in `PIL.Image.Image.info`."""


@dataclass(frozen=True)
class PictureTag:
    """Mixed into the picture's identity in every cache, and into its budget.

    tenant_salt: `Tenant.cache_salt` of who sent it.
    detail: OpenAI's `low`, `high`, `auto`, or None where the request said nothing.
    """

    tenant_salt: str
    detail: str | None = None


def tag_of(image: Any) -> PictureTag | None:
    """The tag of a decoded picture; None for one that did not come through the front door."""
    info = getattr(image, "info", None) or {}
    tag = info.get(TAG)
    return tag if isinstance(tag, PictureTag) else None
