"""The free alternative: hand the vision tower a smaller picture."""

from dataclasses import dataclass
from typing import ClassVar

from metacompress_compressor.windows import WindowKind

from .base import Budget, PictureBatch, Reduced, same_places


@dataclass(frozen=True)
class SmallerPicture:
    """The picture scaled down so that its patches are the m tokens.

    The tower runs on m patches instead of n, with its position embeddings interpolated. Each token
    stands where the middle of its patch was in the large picture.
    """

    name: ClassVar[str] = "smaller_picture"
    windows: ClassVar[WindowKind | None] = "2d"

    def __call__(self, pictures: PictureBatch, budget: Budget) -> Reduced:
        (part,) = budget.compressed.parts
        return same_places(budget.places, pictures.at(part.grid))
