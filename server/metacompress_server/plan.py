"""What an artifact decides for every picture of one model: how many tokens, at which positions.

Known from the artifact and the model alone, before any picture arrives, so that placeholders and
positions can be laid out in the HTTP process while the tensors live in the engine's.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metacompress_compressor.artifact import Artifact, load_artifact
from metacompress_compressor.windows import compressed_grid, window_positions


@dataclass(frozen=True)
class CompressionPlan:
    """The layout of one compressed picture in a prompt.

    num_visual_tokens: n, what the vision tower makes of a picture.
    num_compressed_tokens: m, how many placeholders a picture takes.
    offsets: position of each of the m outputs, counted from the picture's start; the text goes on
        at n. None where the artifact numbers positions contiguously.
    identity: names artifact and m; part of every cache key of a picture.
    """

    num_visual_tokens: int
    num_compressed_tokens: int
    offsets: tuple[int, ...] | None
    identity: str

    @classmethod
    def of(cls, artifact: Artifact) -> "CompressionPlan":
        """The plan of an artifact at its default budget."""
        config = artifact.config
        grid = config.base_model.grid
        outputs = compressed_grid(grid, config.retention_ratio, config.windows)
        kept = config.positions == "kept"
        return cls(
            num_visual_tokens=grid.num_tokens,
            num_compressed_tokens=outputs.num_tokens,
            offsets=tuple(window_positions(grid, outputs, config.windows)) if kept else None,
            identity=f"{artifact.digest}/{outputs.num_tokens}",
        )

    @property
    def bypass(self) -> bool:
        """Whether pictures pass through with all their tokens."""
        return self.num_compressed_tokens == self.num_visual_tokens

    @property
    def skipped_positions(self) -> int:
        """Positions that a picture takes beyond its m tokens."""
        if self.offsets is None:
            return 0
        return self.num_visual_tokens - self.num_compressed_tokens

    def num_positions(self, num_tokens: int, num_pictures: int) -> int:
        """Where the next token of a prompt would stand: positions used so far."""
        return num_tokens + num_pictures * self.skipped_positions

    def positions(self, num_tokens: int, picture_starts: Sequence[int]) -> list[int]:
        """The position of every token of a prompt, strictly increasing.

        Args:
            num_tokens: length of the prompt, m placeholders per picture included.
            picture_starts: index of each picture's first placeholder, ascending.
        """
        if self.offsets is None:
            return list(range(num_tokens))
        positions: list[int] = []
        following = 0
        for start in picture_starts:
            picture = following + start - len(positions)
            positions.extend(range(following, picture))
            positions.extend(picture + offset for offset in self.offsets)
            following = picture + self.num_visual_tokens
        positions.extend(range(following, following + num_tokens - len(positions)))
        return positions


@functools.lru_cache(maxsize=4)
def load_plan(folder: Path | str) -> CompressionPlan:
    """The plan of an artifact folder, read once per process. Raises ArtifactError."""
    return CompressionPlan.of(load_artifact(folder))
