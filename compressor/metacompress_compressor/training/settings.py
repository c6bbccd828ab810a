"""Settings of a training run, checked together before anything is loaded."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from metacompress_compressor.artifact import Positions
from metacompress_compressor.mapping import Conditioning, Method, TokenNorm
from metacompress_compressor.position_code import PositionCode
from metacompress_compressor.windows import WindowKind


class SettingsError(ValueError):
    """A setting out of its range. The message is one line that names it."""


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides the result of a run, besides the model and the data.

    Attributes:
        retention_ratios: kept shares to train on and to measure. The first is the artifact's
            default budget; one named twice is drawn twice as often.
        retention_range: draw from all of this range as well, evenly in the logarithm; None for the
            ratios alone.
        budgets_per: whether a batch draws one budget for all its dialogues, or each its own.
        method, windows, position_code, token_norm, conditioning, key_dim: the form of the mapping.
        positions: where the outputs stand in the language model.
        steps, batch_size: batches, and dialogues in each.
        learning_rate: of the projections, AdamW, warm-up then cosine.
        beta_learning_rate: of beta.
        warmup_share: share of `steps` in which the rates rise.
        entropy_weight, column_weight: of the two regularisers.
        entropy_ramp: shares of the steps between which the entropy weight rises from 0; (0, 0) for
            the full weight from the first step, which can keep the mapping from learning at all.
        clip, clip_by: largest norm, or largest entry, of the gradient; 0 for none.
        answers: learn from the answers in the data, or from the full model's own greedy ones.
        initial_mass: share of each row's weight inside its window at the start.
        dtype: of the frozen language model while training.
        cache_teacher: compute the teacher's logits once and keep them on disk; saves two fifths of
            the time of every epoch but the first, for models with a small vocabulary.
        seed: of the initial weights, the order of the data and the draws of budgets.
    """

    retention_ratios: tuple[float, ...] = (0.1,)
    retention_range: tuple[float, float] | None = None
    budgets_per: Literal["batch", "dialogue"] = "batch"
    method: Method = "row_softmax"
    windows: WindowKind = "2d"
    position_code: PositionCode = "sinusoidal_2d"
    token_norm: TokenNorm = "layer_norm"
    conditioning: Conditioning = "budget"
    positions: Positions = "kept"
    key_dim: int = 128
    steps: int = 1000
    batch_size: int = 32
    learning_rate: float = 1e-3
    beta_learning_rate: float = 1e-2
    warmup_share: float = 0.03
    entropy_weight: float = 0.0
    entropy_ramp: tuple[float, float] = (0.5, 0.8)
    column_weight: float = 0.03
    clip: float = 1e-2
    clip_by: Literal["norm", "value"] = "norm"
    answers: Literal["data", "teacher"] = "data"
    initial_mass: float = 0.7
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    cache_teacher: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        _require(bool(self.retention_ratios), "retention needs at least one ratio")
        for ratio in self.retention_ratios:
            _require(0 < ratio < 1, f"retention must be between 0 and 1, not {ratio}")
        if self.retention_range is not None:
            low, high = self.retention_range
            _require(
                0 < low < high < 1, f"retention range must rise within 0 and 1, not {low}:{high}"
            )
        start, full = self.entropy_ramp
        _require(
            0 <= start <= full <= 1, f"entropy_ramp must rise within 0 and 1, not {start} to {full}"
        )
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

    @property
    def measured_ratios(self) -> tuple[float, ...]:
        """The budgets to measure accuracy at: the ratios, and the ends of the range."""
        return tuple(dict.fromkeys((*self.retention_ratios, *(self.retention_range or ()))))

    def record(self) -> dict[str, Any]:
        """The settings as JSON holds them."""
        fields = asdict(self)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in fields.items()
        }


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
        micro_batch: dialogues that go through the model at once, gradients adding up to the batch;
            0 for all of a process's share. Changes the result by rounding alone.
        gradient_checkpointing: compute the language model's layers twice to hold fewer of their
            activations.
        tensorboard: folder for TensorBoard's event files, None for none.
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
    micro_batch: int = 0
    gradient_checkpointing: bool = False
    tensorboard: Path | None = None
    settings: TrainSettings = field(default_factory=TrainSettings)

    def __post_init__(self) -> None:
        _at_least_one("save_every", self.save_every)
        for name in ("threads", "micro_batch"):
            value = getattr(self, name)
            _require(value >= 0, f"{name} must not be negative, not {value}")

    @property
    def features_dir(self) -> Path:
        return self.cache_dir or self.out / "cache"


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise SettingsError(message)


def _at_least_one(name: str, value: int) -> None:
    _require(value >= 1, f"{name} must be at least 1, not {value}")
