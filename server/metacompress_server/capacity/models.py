"""A vision-language model as the capacity model sees it, and what a picture costs it."""

from dataclasses import dataclass

from metacompress_compressor.language_model_shape import LanguageModelShape
from metacompress_compressor.layout import PictureLayout, compressed_layout
from metacompress_compressor.windows import WindowKind

from .pictures import PictureRule
from .vision import VisionShape

KEY_DIM = 128
"""Of the mapping, for its own cost: the default of training."""


@dataclass(frozen=True)
class ModelShape:
    """Everything that decides memory and work.

    Attributes:
        name: for people.
        source: where the sizes come from.
        max_positions: of the language model.
        served: whether `metacompress serve` takes this family; otherwise the figures are arithmetic
            about a model that it cannot run yet.
        stored_bytes: the checkpoint's weights as they lie on disk; None for a published shape.
    """

    name: str
    source: str
    language: LanguageModelShape
    vision: VisionShape
    pictures: PictureRule
    max_positions: int
    served: bool
    stored_bytes: int | None = None

    @property
    def weights(self) -> int:
        """How many numbers its matrices hold."""
        return self.language.weights + self.vision.weights

    def picture(
        self, width: int, height: int, retention_ratio: float, windows: WindowKind
    ) -> "Picture":
        """A picture of this size at a budget; 1 keeps all tokens.

        Raises:
            ValueError: a budget outside (0, 1], or a picture of which no token is left.
        """
        layout = self.pictures.layout(width, height)
        kept = compressed_layout(layout, retention_ratio, windows)
        tower = self.vision.flops(self.pictures.tower_lengths(width, height), layout.num_tokens)
        return Picture(layout, kept, tower, self._mapping_flops(layout, kept))

    def _mapping_flops(self, layout: PictureLayout, kept: PictureLayout) -> int:
        """Keys and queries of all tokens, scores, weighted sums."""
        if kept == layout:
            return 0
        n, m, width = layout.num_tokens, kept.num_tokens, self.language.hidden_size
        return 2 * (2 * n * width * KEY_DIM + n * m * KEY_DIM + n * m * width)


@dataclass(frozen=True)
class Picture:
    """A picture of one model at one budget: its tokens before and after, and the work on it."""

    layout: PictureLayout
    kept: PictureLayout
    tower_flops: int
    mapping_flops: int

    @property
    def num_visual_tokens(self) -> int:
        return self.layout.num_tokens

    @property
    def num_compressed_tokens(self) -> int:
        return self.kept.num_tokens
