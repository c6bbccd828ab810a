"""Who takes part: every baseline by name, and every compressor under the name of its folder."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from metacompress_compressor.artifact import (
    ArtifactError,
    CompressorConfig,
    Positions,
    load_artifact,
)
from metacompress_compressor.reductions import (
    AvgPool1d,
    AvgPool2d,
    DivPrune,
    FastV,
    Full,
    Mapped,
    PruMerge,
    PruMergePlus,
    Random,
    Sample,
    Sample2d,
    Selector,
    SmallerPicture,
    ToMe,
    VisionZip,
    VisPruner,
)
from metacompress_compressor.reductions.selector import load_selector, weights_digest
from metacompress_compressor.windows import WindowKind

from .scoring import Method, Trial
from .settings import TowerLayerName

Kind = Literal["full", "prompt-agnostic", "prompt-dependent", "mapping"]

#: Baselines in the order of the tables, and how they are called there.
BASELINES: dict[str, str] = {
    "random": "Random",
    "sample": "Sample",
    "sample_2d": "Sample, 2-D",
    "avgpool_1d": "AvgPool, 1-D",
    "avgpool_2d": "AvgPool, 2-D",
    "tome": "ToMe",
    "prumerge": "PruMerge",
    "prumerge_plus": "PruMerge+",
    "visionzip": "VisionZip",
    "divprune": "DivPrune",
    "vispruner": "VisPruner",
    "smaller_picture": "smaller picture",
    "fastv_turn_1": "FastV, turn-1 indices",
}


@dataclass(frozen=True, eq=False)
class Contestant:
    """A method, and what is told of it.

    Attributes:
        method: the method itself; its name is unique among the contestants.
        label: for tables and plots.
        kind: `prompt-agnostic` methods are what a mapping is compared with.
        settings: everything that decides its results.
        form: a mapping's form in words.
        own_positions: the rule that a mapping was trained with.
    """

    method: Method
    label: str
    kind: Kind
    settings: dict[str, Any] = field(default_factory=dict)
    form: str | None = None
    own_positions: Positions | None = None


def baseline_methods(prumerge_layer: TowerLayerName = "last") -> dict[str, Method]:
    """Every baseline by name."""
    methods: list[Method] = [
        Random(),
        Sample(),
        Sample2d(),
        AvgPool1d(),
        AvgPool2d(),
        ToMe(),
        PruMerge(prumerge_layer),
        PruMergePlus(prumerge_layer),
        VisionZip(),
        DivPrune(),
        VisPruner(),
        SmallerPicture(),
        FastV(),
    ]
    return {method.name: method for method in methods}


def baselines(names: Iterable[str], prumerge_layer: TowerLayerName = "last") -> list[Contestant]:
    """Some baselines, after the full model. Raises KeyError for an unknown name."""
    methods = baseline_methods(prumerge_layer)
    found = [Contestant(Full(), "full", "full")]
    for name in names:
        method = methods[name]
        kind: Kind = "prompt-dependent" if isinstance(method, FastV) else "prompt-agnostic"
        found.append(Contestant(method, BASELINES[name], kind, _settings(method)))
    return found


def _settings(method: Method) -> dict[str, Any]:
    return asdict(method) if is_dataclass(method) else {}


def mappings(folders: Sequence[Path], device: torch.device) -> list[Contestant]:
    """Compressors, each under the name of its folder.

    Raises:
        ArtifactError: one that cannot be used, or two folders of one name.
    """
    found: dict[str, Contestant] = {}
    for folder in folders:
        name = folder.resolve().name
        if name in found or name in BASELINES or name == "full":
            raise ArtifactError(f"the name of compressor folder {folder} is taken: rename it")
        artifact = load_artifact(folder)
        config = artifact.config
        training = {key: config.training[key] for key in _TRAINING if key in config.training}
        settings = {
            "artifact_digest": artifact.digest,
            **config.model_dump(include=_FORM_FIELDS, mode="json"),
            "training": training,
        }
        method = Mapped(artifact.mapping.to(device), name)
        form = _form(config, training)
        found[name] = Contestant(method, name, "mapping", settings, form, config.positions)
    return list(found.values())


def selectors(folders: Sequence[Path], fingerprint: str, device: torch.device) -> list[Contestant]:
    """Learned selectors, each under the name of its folder: baselines that see the picture alone.

    Args:
        fingerprint: of the model that is evaluated.

    Raises:
        SelectorError: one that cannot be used.
    """
    found = []
    for folder in folders:
        scorer, record = load_selector(folder, fingerprint)
        name = folder.resolve().name
        settings = {**record, "weights": weights_digest(scorer)}
        method = Selector(scorer.to(device), name)
        found.append(Contestant(method, f"{name} (learned)", "prompt-agnostic", settings))
    return found


def _form(config: CompressorConfig, training: Mapping[str, Any]) -> str:
    """A mapping in words: all that tells two of them apart but the seed."""
    budgets = ", ".join(f"{ratio:g}" for ratio in config.trained_retention_ratios)
    if config.trained_retention_range is not None:
        budgets = "{:g} to {:g}".format(*config.trained_retention_range)
    parts = [
        config.method.replace("_", " "),
        f"{config.windows} windows",
        f"{config.position_code} code",
        f"token norm {config.token_norm}",
        f"conditioning {config.conditioning}",
        f"{config.positions} positions",
        f"key dim {config.key_dim}",
        f"trained at {budgets}",
    ]
    told = {key: value for key, value in training.items() if key != "seed"}
    return ", ".join(parts + [f"{key} {value}" for key, value in told.items()])


_TRAINING = (
    "steps",
    "batch_size",
    "learning_rate",
    "initial_mass",
    "entropy_weight",
    "column_weight",
    "clip",
    "seed",
)
_FORM_FIELDS = {
    "method",
    "windows",
    "position_code",
    "token_norm",
    "conditioning",
    "positions",
    "key_dim",
    "trained_retention_ratios",
}


def trials_of(
    contestants: Sequence[Contestant],
    retention_ratios: Sequence[float],
    positions: Sequence[Positions],
) -> dict[Trial, Contestant]:
    """Everything that is to be tried, in the order of the contestants.

    Methods that take any m get the m of the first mapping's rule of windows, by default the
    two-dimensional one; methods with a rule of their own get that rule's m. Sampling is tried at
    the one-dimensional rule's m too: a token more can free it from a step near a row's length.
    """
    first = next((c.method.windows for c in contestants if c.kind == "mapping"), None)
    shared: WindowKind = first or "2d"
    trials: dict[Trial, Contestant] = {}
    for contestant in contestants:
        method = contestant.method
        if contestant.kind == "full":
            trials[Trial(method, 1.0, shared, "kept")] = contestant
            continue
        rules: list[WindowKind] = [method.windows or shared]
        if method.name == "sample" and shared == "2d":
            rules.append("1d")
        for ratio in retention_ratios:
            for rule in rules:
                for where in positions:
                    trials[Trial(method, ratio, rule, where)] = contestant
    return trials
