"""Settings of a training run, checked together before anything is loaded."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from metacompress_compressor.artifact import Positions
from metacompress_compressor.mapping import Method, TokenNorm
from metacompress_compressor.position_code import PositionCode
from metacompress_compressor.windows import WindowKind


class SettingsError(ValueError):
    """A setting out of its range. The message is one line that names it."""


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides the result of a run, besides the model and the data.

    Attributes:
        retention_ratios: kept shares to train on; a batch draws one. The first is the artifact's
            default budget.
        method, windows, position_code, token_norm, key_dim: the form of the mapping.
        positions: where the outputs stand in the language model.
        steps, batch_size: batches, and dialogues in each.
        learning_rate: of the projections, AdamW, warm-up then cosine.
        beta_learning_rate: of beta.
        warmup_share: share of `steps` in which the rates rise.
        entropy_weight, column_weight: of the two regularisers.
        clip: largest norm of the gradient; 0 for none.
        initial_mass: share of each row's weight inside its window at the start.
        dtype: of the frozen language model while training.
        cache_teacher: compute the teacher's logits once and keep them on disk; saves two fifths of
            the time of every epoch but the first, for models with a small vocabulary.
        seed: of the initial weights, the order of the data and the draws of budgets.
    """

    retention_ratios: tuple[float, ...] = (0.1,)
    method: Method = "competing"
    windows: WindowKind = "2d"
    position_code: PositionCode = "sinusoidal_2d"
    token_norm: TokenNorm = "layer_norm"
    positions: Positions = "kept"
    key_dim: int = 128
    steps: int = 1000
    batch_size: int = 32
    learning_rate: float = 1e-3
    beta_learning_rate: float = 1e-2
    warmup_share: float = 0.03
    entropy_weight: float = 0.0
    column_weight: float = 0.3
    clip: float = 1e-2
    initial_mass: float = 0.7
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    cache_teacher: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        _require(bool(self.retention_ratios), "retention needs at least one ratio")
        for ratio in self.retention_ratios:
            _require(0 < ratio < 1, f"retention must be between 0 and 1, not {ratio}")
        for name in ("key_dim", "steps", "batch_size"):
            _at_least_one(name, getattr(self, name))
        for name in ("learning_rate", "beta_learning_rate"):
            value = getattr(self, name)
            _require(value > 0, f"{name} must be above 0, not {value}")
        for name in ("entropy_weight", "column_weight", "clip"):
            value = getattr(self, name)
            _require(value >= 0, f"{name} must not be negative, not {value}")
        for name in ("warmup_share", "initial_mass"):
            value = getattr(self, name)
            _require(0 < value < 1, f"{name} must be between 0 and 1, not {value}")

    def record(self) -> dict[str, Any]:
        """The settings as JSON holds them."""
        return {**asdict(self), "retention_ratios": list(self.retention_ratios)}


@dataclass(frozen=True)
class TrainJob:
    """Where a run reads and writes, and what does not change its result.

    Attributes:
        model_dir: checkpoint folder.
        data: dialogue files to train on.
        eval_data: dialogue files to measure accuracy on, none for no measurement.
        out: folder of the artifact, the checkpoint and the loss curve.
        cache_dir: folder of the cached features; None for `out/cache`.
        device: torch device.
        threads: CPU threads; 0 for torch's own choice.
        save_every: steps between checkpoints.
        resume: go on from the checkpoint in `out`.
    """

    model_dir: Path
    data: tuple[Path, ...]
    out: Path
    eval_data: tuple[Path, ...] = ()
    cache_dir: Path | None = None
    device: str = "cpu"
    threads: int = 0
    save_every: int = 100
    resume: bool = False
    settings: TrainSettings = field(default_factory=TrainSettings)

    def __post_init__(self) -> None:
        _at_least_one("save_every", self.save_every)
        _require(self.threads >= 0, f"threads must not be negative, not {self.threads}")

    @property
    def features_dir(self) -> Path:
        return self.cache_dir or self.out / "cache"


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise SettingsError(message)


def _at_least_one(name: str, value: int) -> None:
    _require(value >= 1, f"{name} must be at least 1, not {value}")
