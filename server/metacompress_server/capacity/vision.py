"""Sizes of a vision tower and its projector, and what they cost."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class VisionShape:
    """A vision transformer and the matrices behind it.

    Attributes:
        hidden_size, mlp_width: widths of a layer.
        num_layers: as stored.
        layers_used: as run; LLaVA leaves the last one out.
        patch_numbers: numbers of a patch, as the first matrix sees it.
        projector: widths from the tower's output (merged, where the model merges) to the language
            model's input.
        mlp_matrices: 2, or 3 where the MLP is gated.
        window: tokens that attend to each other in most layers; 0 for all of the sequence.
        full_layers: how many layers attend to all even so.
    """

    hidden_size: int
    mlp_width: int
    num_layers: int
    layers_used: int
    patch_numbers: int
    projector: tuple[int, ...]
    mlp_matrices: int = 2
    window: int = 0
    full_layers: int = 0

    @property
    def weights(self) -> int:
        """Numbers in all matrices."""
        layers = self.num_layers * self._layer_weights
        return layers + self.hidden_size * self.patch_numbers + self._projector_weights

    def flops(self, lengths: Sequence[int], num_tokens: int) -> int:
        """Of one picture, projector included. One multiply-add counts as two operations.

        Args:
            lengths: the sequences that the tower works on.
            num_tokens: n, what the projector gives.
        """
        return sum(map(self._tower_flops, lengths)) + 2 * num_tokens * self._projector_weights

    def _tower_flops(self, length: int) -> int:
        matrices = self.layers_used * self._layer_weights + self.hidden_size * self.patch_numbers
        full = self.full_layers if self.window else self.layers_used
        windowed = (self.layers_used - full) * length * min(self.window, length)
        pairs = full * length**2 + windowed
        return 2 * length * matrices + 4 * pairs * self.hidden_size

    @property
    def _layer_weights(self) -> int:
        d = self.hidden_size
        return 4 * d * d + self.mlp_matrices * d * self.mlp_width

    @property
    def _projector_weights(self) -> int:
        return sum(a * b for a, b in itertools.pairwise(self.projector))
