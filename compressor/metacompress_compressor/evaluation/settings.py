"""Settings of an evaluation, checked before anything is loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metacompress_compressor.artifact import Positions
from metacompress_compressor.training.settings import SettingsError

TowerLayerName = Literal["last", "penultimate"]
Scoring = Literal["teacher-forced", "generated"]
Answers = Literal["data", "full-model"]


@dataclass(frozen=True)
class EvalJob:
    """What to evaluate, on what, and where to write.

    Attributes:
        model_dir: checkpoint folder.
        compressors: artifact folders; the first one's rule of windows gives the others their m.
        data: dialogue files.
        out: folder of the results.
        retention_ratios: the budgets.
        methods: names of baselines.
        positions: rules to try every method with.
        selectors: folders of learned selectors.
        scoring: `teacher-forced` counts exact answers after the data's earlier ones; `generated`
            lets the model answer by itself, and counts people's consensus where a turn has it.
        answers: what is right: the answers in the data, or what the full model says itself.
        prumerge_layer: whose attention PruMerge and PruMerge+ rank by.
        limit: how many dialogues, from the first one on; 0 for all.
        batch_size: dialogues in a pass.
        dtype: of the model.
        device: torch device.
        threads: CPU threads; 0 for torch's own choice.
        cache_dir: folder of the cached visual tokens; None for `out/cache`.
    """

    model_dir: Path
    compressors: tuple[Path, ...]
    data: tuple[Path, ...]
    out: Path
    retention_ratios: tuple[float, ...]
    methods: tuple[str, ...]
    positions: tuple[Positions, ...] = ("kept", "contiguous")
    selectors: tuple[Path, ...] = ()
    scoring: Scoring = "teacher-forced"
    answers: Answers = "data"
    prumerge_layer: TowerLayerName = "last"
    limit: int = 0
    batch_size: int = 16
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: str = "cpu"
    threads: int = 0
    cache_dir: Path | None = None

    def __post_init__(self) -> None:
        some = self.methods or self.compressors or self.selectors
        _require(bool(some), "nothing to evaluate: no method is named")
        for ratio in self.retention_ratios:
            _require(0 < ratio < 1, f"retention must be between 0 and 1, not {ratio}")
        _require(self.limit >= 0, f"limit must not be negative, not {self.limit}")
        _require(self.batch_size >= 1, f"batch_size must be at least 1, not {self.batch_size}")
        _require(self.threads >= 0, f"threads must not be negative, not {self.threads}")

    @property
    def features_dir(self) -> Path:
        return self.cache_dir or self.out / "cache"


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise SettingsError(message)
