"""The files of a checkpoint, whether it is a folder or a name on the Hugging Face hub."""

from pathlib import Path
from typing import Any


class CheckpointMissing(ValueError):
    """No such checkpoint. The message is one line."""


def local_folder(model: str, revision: str | None = None) -> Path:
    """The folder of a checkpoint; a hub name is downloaded, or found in the hub's cache.

    Raises:
        CheckpointMissing: neither a folder nor a name that the hub or its cache knows.
    """
    folder = Path(model)
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        patterns = ["*.json", "*.safetensors", "*.model"]
        return Path(snapshot_download(model, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointMissing(
            f"model {model} is neither a folder nor in reach on the Hugging Face hub"
        ) from error


def text_config(folder: Path) -> dict[str, Any]:
    """The language model's configuration, with the defaults that checkpoints leave out."""
    from transformers import AutoConfig

    config: dict[str, Any] = AutoConfig.from_pretrained(folder).get_text_config().to_dict()
    return config
