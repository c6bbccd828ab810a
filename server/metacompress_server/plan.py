"""What an artifact decides for every picture of one model: how many tokens, at which positions.

Known from the artifact and the model alone, before any picture arrives, so that placeholders and
positions can be laid out in the HTTP process while the tensors live in the engine's.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from metacompress_compressor.artifact import (
    Artifact,
    ArtifactError,
    CompressorConfig,
    load_artifact,
)
from metacompress_compressor.windows import Grid, WindowKind, compressed_grid, window_positions

from .pictures.details import DETAILS, UNCOMPRESSED


@dataclass(frozen=True)
class Budget:
    """One picture's share of a prompt.

    retention_ratio: what the mapping is called with.
    num_tokens: m, how many placeholders the picture takes.
    offsets: position of each of the m tokens, counted from the picture's start.
    num_positions: where the text after the picture goes on: n where positions are kept, else m.
    identity: part of the picture's cache keys; tells the outputs of one mapping apart.
    """

    retention_ratio: float
    num_tokens: int
    offsets: tuple[int, ...]
    num_positions: int
    identity: str

    @classmethod
    def of(cls, config: CompressorConfig, retention_ratio: float) -> "Budget":
        """The budget of a ratio in (0, 1]."""
        kept = config.positions == "kept"
        return _budget(config.base_model.grid, retention_ratio, config.windows, kept)


@functools.lru_cache(maxsize=256)
def _budget(grid: Grid, retention_ratio: float, windows: WindowKind, kept: bool) -> Budget:
    outputs = compressed_grid(grid, retention_ratio, windows)
    m = outputs.num_tokens
    return Budget(
        retention_ratio=retention_ratio,
        num_tokens=m,
        offsets=tuple(window_positions(grid, outputs, windows) if kept else range(m)),
        num_positions=grid.num_tokens if kept else m,
        identity=f"{outputs.rows}x{outputs.cols}",
    )


@dataclass(frozen=True)
class CompressionPlan:
    """The budgets of one artifact on one server.

    num_visual_tokens: n, what the vision tower makes of a picture.
    keeps_positions: whether a picture takes n positions, whatever its m.
    budgets: by `detail`: those of clients and `UNCOMPRESSED`.
    identity: the artifact's digest; part of every cache key of a picture.
    """

    num_visual_tokens: int
    keeps_positions: bool
    budgets: Mapping[str, Budget]
    identity: str

    @classmethod
    def of(cls, artifact: Artifact, retention: float | None = None) -> "CompressionPlan":
        """The plan of an artifact.

        Args:
            artifact: loaded.
            retention: the server's default budget; None for the artifact's own.

        Raises:
            ArtifactError: the mapping was not trained for that budget.
        """
        config = artifact.config
        ratios = {**_trained(config), "auto": _default(config, retention), UNCOMPRESSED: 1.0}
        return cls(
            num_visual_tokens=config.base_model.grid.num_tokens,
            keeps_positions=config.positions == "kept",
            budgets={detail: Budget.of(config, ratio) for detail, ratio in ratios.items()},
            identity=artifact.digest,
        )

    def budget(self, detail: str | None) -> Budget:
        """What a picture gets for its `detail`; None is `auto`.

        Raises:
            ValueError: a detail that is not known.
        """
        found = self.budgets.get(detail or "auto")
        if found is None:
            raise ValueError(f"detail is {' or '.join(DETAILS)}, not {detail!r}")
        return found

    @property
    def num_compressed_tokens(self) -> int:
        """m of a picture whose request says nothing about detail."""
        return self.budget(None).num_tokens

    def num_positions(self, num_tokens: int, picture_lengths: Sequence[int]) -> int:
        """Where the next token of a prompt would stand: positions used so far.

        Args:
            num_tokens: of the prompt, placeholders included.
            picture_lengths: placeholders of each picture.
        """
        if not self.keeps_positions:
            return num_tokens
        return num_tokens + sum(self.num_visual_tokens - length for length in picture_lengths)


def prompt_positions(num_tokens: int, pictures: Sequence[tuple[int, Budget]]) -> list[int]:
    """The position of every token of a prompt and of the one after it, strictly increasing.

    Args:
        num_tokens: length of the prompt, placeholders included.
        pictures: index of each picture's first placeholder, ascending, and its budget.

    Returns:
        `num_tokens + 1` positions.
    """
    positions: list[int] = []
    following = 0
    for start, budget in pictures:
        picture = following + start - len(positions)
        positions.extend(range(following, picture))
        positions.extend(picture + offset for offset in budget.offsets)
        following = picture + budget.num_positions
    positions.extend(range(following, following + num_tokens + 1 - len(positions)))
    return positions


def _trained(config: CompressorConfig) -> dict[str, float]:
    """The smallest trained budget, and the largest that still compresses."""
    ratios = sorted(config.trained_retention_ratios)
    return {"low": ratios[0], "high": max((r for r in ratios if r < 1.0), default=ratios[-1])}


def _default(config: CompressorConfig, retention: float | None) -> float:
    if retention is None:
        return config.retention_ratio
    ratios = (*config.trained_retention_ratios, *(config.trained_retention_range or ()))
    if retention != 1.0 and not min(ratios) <= retention <= max(ratios):
        raise ArtifactError(
            f"--retention {retention} is outside of what the compressor was trained for "
            f"({min(ratios)} to {max(ratios)}); 1.0 keeps all visual tokens"
        )
    return retention


@functools.lru_cache(maxsize=4)
def load_plan(folder: Path | str, retention: float | None = None) -> CompressionPlan:
    """The plan of an artifact folder, read once per process. Raises ArtifactError."""
    return CompressionPlan.of(load_artifact(folder), retention)
