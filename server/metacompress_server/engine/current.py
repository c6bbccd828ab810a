"""Which compressor new pictures are laid out for, in this process.

The one that the server was started with, until it is replaced while the server runs.
"""

from typing import TYPE_CHECKING

from metacompress_server.plan import CompressionPlan, load_plan
from metacompress_server.settings import ServerSettings

from .configuration import compressor_folder

if TYPE_CHECKING:
    from vllm.config import ModelConfig

_IN_USE: dict[str, CompressionPlan] = {}


def current_plan(model_config: "ModelConfig") -> CompressionPlan:
    """The plan of the compressor in use.

    Raises:
        ArtifactError: it cannot be read, or was not trained for the server's budget.
        ValueError: the model's configuration names no compressor.
    """
    folder = compressor_folder(model_config)
    if folder not in _IN_USE:
        _IN_USE[folder] = load_plan(folder, ServerSettings.current().retention)
    return _IN_USE[folder]


def replace_plan(model_config: "ModelConfig", plan: CompressionPlan) -> None:
    """From here on, pictures are laid out by `plan`; those on their way stay as they are."""
    _IN_USE[compressor_folder(model_config)] = plan
