"""The learned mapping as a method beside the others."""

from dataclasses import dataclass

from metacompress_compressor.mapping import TokenMapping
from metacompress_compressor.picture_mapping import compress_pictures
from metacompress_compressor.windows import WindowKind

from .base import Budget, PictureBatch, Reduced, same_places


@dataclass(frozen=True)
class Mapped:
    """The learned mapping, each output at its window's centre.

    Args:
        mapping: on the tokens' device. Its own rule of windows decides m.
        name: tells several mappings apart.
    """

    mapping: TokenMapping
    name: str = "mapping"

    @property
    def windows(self) -> WindowKind:
        """Its own."""
        return self.mapping.windows

    def __call__(self, pictures: PictureBatch, budget: Budget) -> Reduced:
        ratio = budget.retention_ratio
        tokens = compress_pictures(self.mapping, pictures.tokens, pictures.layout, ratio)
        return same_places(budget.places, tokens)
