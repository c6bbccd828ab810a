"""The artifact of training: a folder with `compressor.safetensors` and `config.json`.

ArtifactError   anything that stops an artifact from being used, in one line naming the value
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from .any_resolution import any_resolution_layout
from .fingerprint import CheckpointError, model_fingerprint, projector_tensors
from .layout import PictureLayout
from .mapping import Conditioning, Method, TokenMapping, TokenNorm
from .position_code import PositionCode
from .windows import Grid, WindowKind

Positions = Literal["kept", "contiguous"]

FORMAT_VERSION = 1
WEIGHTS_FILE = "compressor.safetensors"
CONFIG_FILE = "config.json"


class ArtifactError(ValueError):
    """The artifact cannot be used. The message is one line that names the bad value."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class BaseModelInfo(_Frozen):
    """The checkpoint that the mapping was trained for.

    `pinpoints`: the resolutions `(height, width)` that LLaVA-NeXT chooses from; empty for models
    that bring every picture to one size.
    """

    id: str
    fingerprint: str
    image_size: int = Field(gt=0)
    patch_size: int = Field(gt=0)
    pinpoints: tuple[tuple[int, int], ...] = ()

    @property
    def grid(self) -> Grid:
        """The one grid of every picture. Raises ArtifactError where pictures differ."""
        if self.pinpoints:
            raise ArtifactError(
                f"pictures of base model {self.id} have grids that depend on their size; "
                "only models with one grid for every picture can be served"
            )
        side = self.image_size // self.patch_size
        return Grid(side, side)

    def layout(self, width: int, height: int) -> PictureLayout:
        """How the tokens of a picture of this size (pixels) are arranged.

        Raises:
            ValueError: a picture so narrow that no token of it is left.
        """
        if not self.pinpoints:
            return PictureLayout.of_grid(self.grid)
        return any_resolution_layout(
            width,
            height,
            pinpoints=self.pinpoints,
            image_size=self.image_size,
            patch_size=self.patch_size,
        )


class CompressorConfig(_Frozen):
    """What `config.json` holds: how to rebuild the mapping, what it fits, how it was made.

    `positions`: `kept` places output i at its window's centre in the picture's numbering and lets
    the text go on at n; `contiguous` numbers outputs 0..m-1. `trained_retention_range`: budgets
    were drawn from all of this range; its ends are among `trained_retention_ratios`.
    """

    format_version: int = FORMAT_VERSION
    method: Method
    windows: WindowKind
    position_code: PositionCode
    token_norm: TokenNorm
    conditioning: Conditioning = "none"
    positions: Positions
    hidden_size: int = Field(gt=0)
    key_dim: int = Field(gt=0)
    retention_ratio: float = Field(gt=0, le=1)
    trained_retention_ratios: tuple[float, ...] = Field(min_length=1)
    trained_retention_range: tuple[float, float] | None = None
    base_model: BaseModelInfo
    weights_sha256: str = ""
    data_digest: str | None = None
    training: dict[str, Any] = Field(default_factory=dict)
    evaluation: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def describe(cls, mapping: TokenMapping, **rest: Any) -> "CompressorConfig":
        """A configuration with the fields that `mapping` decides filled in from it."""
        return cls(
            method=mapping.method,
            windows=mapping.windows,
            position_code=mapping.code,
            token_norm=mapping.token_norm,
            conditioning=mapping.conditioning,
            hidden_size=mapping.hidden_size,
            key_dim=mapping.key_dim,
            **rest,
        )

    def build_mapping(self) -> TokenMapping:
        """A mapping of this configuration, at its random start."""
        return TokenMapping(
            self.hidden_size,
            self.key_dim,
            method=self.method,
            windows=self.windows,
            code=self.position_code,
            token_norm=self.token_norm,
            conditioning=self.conditioning,
        )


@dataclass(frozen=True)
class Artifact:
    """A loaded artifact. `digest` names configuration and weights together, for cache keys."""

    config: CompressorConfig
    mapping: TokenMapping
    digest: str


def save_artifact(
    folder: Path | str, mapping: TokenMapping, config: CompressorConfig
) -> CompressorConfig:
    """Write an artifact folder, weights in float32.

    Returns:
        `config` with the digest of the weights filled in, as written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / WEIGHTS_FILE
    state = {
        name: tensor.detach().float().cpu().contiguous()
        for name, tensor in mapping.state_dict().items()
    }
    save_file(state, weights)
    config = config.model_copy(update={"weights_sha256": _sha256(weights.read_bytes())})
    (folder / CONFIG_FILE).write_text(json.dumps(config.model_dump(), indent=2) + "\n")
    return config


def load_artifact(folder: Path | str) -> Artifact:
    """Read and check an artifact folder. The mapping is in float32 on the CPU, in evaluation mode.

    Raises:
        ArtifactError: a missing or unreadable file, an unknown format, a value out of range, a
            digest that does not match, tensors of other names or shapes.
    """
    folder = Path(folder)
    config = load_config(folder)
    weights = folder / WEIGHTS_FILE
    weights_sha256 = _sha256(_read(weights))
    if weights_sha256 != config.weights_sha256:
        raise ArtifactError(
            f"{weights} has sha256 {weights_sha256}, but {CONFIG_FILE} says "
            f"{config.weights_sha256 or 'nothing'}"
        )
    mapping = config.build_mapping()
    _load_weights(mapping, weights)
    mapping.eval().requires_grad_(requires_grad=False)
    digest = _sha256(json.dumps(config.model_dump(), sort_keys=True).encode())
    return Artifact(config, mapping, digest)


def load_config(folder: Path | str) -> CompressorConfig:
    """Read and check `config.json` alone. Raises ArtifactError as `load_artifact`."""
    path = Path(folder) / CONFIG_FILE
    content = _read(path)
    try:
        raw = json.loads(content)
    except ValueError as error:
        raise ArtifactError(f"{path} is not JSON: {error}") from error
    version = raw.get("format_version") if isinstance(raw, dict) else None
    if version != FORMAT_VERSION:
        raise ArtifactError(
            f"{path} has format_version {version!r}; this version reads {FORMAT_VERSION}"
        )
    try:
        return CompressorConfig.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(f"{path}: {field} is {first['input']!r}: {first['msg']}") from error


def verify_against_model(config: CompressorConfig, model_dir: Path | str) -> None:
    """Check that an artifact was trained for this checkpoint.

    Raises:
        ArtifactError: another hidden size, picture grid or projector; or a folder that holds no
            readable checkpoint.
    """
    image_size, patch_size, pinpoints = _vision_sizes(Path(model_dir))
    trained_for = config.base_model
    try:
        hidden_size = _projected_size(Path(model_dir))
        fingerprint = model_fingerprint(model_dir)
    except CheckpointError as error:
        raise ArtifactError(str(error)) from error
    _same("hidden_size", config.hidden_size, hidden_size, model_dir)
    _same("image_size", trained_for.image_size, image_size, model_dir)
    _same("patch_size", trained_for.patch_size, patch_size, model_dir)
    _same("image_grid_pinpoints", trained_for.pinpoints, pinpoints, model_dir)
    _same("fingerprint", trained_for.fingerprint, fingerprint, model_dir)


def _same(name: str, of_artifact: object, of_model: object, model_dir: Path | str) -> None:
    if of_artifact != of_model:
        raise ArtifactError(
            f"the compressor was trained for {name} {of_artifact}, but model {model_dir} "
            f"has {of_model}"
        )


def _projected_size(model_dir: Path) -> int:
    """D: what the projector's last linear layer writes."""
    matrices = [tensor for tensor in projector_tensors(model_dir) if len(tensor.shape) == 2]
    if not matrices:
        raise CheckpointError(f"the projector in model folder {model_dir} has no matrix")
    return matrices[-1].shape[0]


def _vision_sizes(model_dir: Path) -> tuple[int, int, tuple[tuple[int, int], ...]]:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(model_dir)
        vision = config.vision_config
        return vision.image_size, vision.patch_size, grid_pinpoints(config)
    except (OSError, ValueError, AttributeError) as error:
        raise ArtifactError(f"model folder {model_dir} has no vision configuration") from error


def grid_pinpoints(config: Any) -> tuple[tuple[int, int], ...]:
    """The resolutions in a transformers configuration, `()` where it has none."""
    pinpoints = getattr(config, "image_grid_pinpoints", None) or ()
    return tuple((height, width) for height, width in pinpoints)


def _load_weights(mapping: TokenMapping, path: Path) -> None:
    expected = mapping.state_dict()
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise ArtifactError(f"{path} is not a safetensors file: {error}") from error
    if state.keys() != expected.keys():
        raise ArtifactError(f"{path} holds {sorted(state)}, not {sorted(expected)}")
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            raise ArtifactError(
                f"{path}: {name} is {list(tensor.shape)}, not {list(expected[name].shape)}"
            )
        if not torch.isfinite(tensor).all():
            raise ArtifactError(f"{path}: {name} has entries that are not finite")
    mapping.load_state_dict(state)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
