"""Finds the adapter of a checkpoint's family and loads both."""

from pathlib import Path

import torch
import transformers
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from .base import Adapter, AdapterError
from .llava import LlavaAdapter
from .llava_next import LlavaNextAdapter

#: `model_type` of a checkpoint's config.json -> its adapter. A further family is one line here.
FAMILIES: dict[str, type[Adapter]] = {"llava": LlavaAdapter, "llava_next": LlavaNextAdapter}


def load_adapter(
    model_dir: Path | str, *, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> Adapter:
    """Load a checkpoint folder, frozen and in evaluation mode.

    Raises:
        AdapterError: no such folder, a broken checkpoint, a family without an adapter, or no chat
            template.
    """
    folder = Path(model_dir)
    if not (folder / "config.json").is_file():
        raise AdapterError(f"{folder} is not a model folder: it has no config.json")
    family = AutoConfig.from_pretrained(folder).model_type
    if family not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise AdapterError(f"{folder} is a {family!r} model; there are adapters for {known}")
    transformers.utils.logging.disable_progress_bar()
    try:
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype)
        processor = AutoProcessor.from_pretrained(folder)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise AdapterError(f"cannot load the model in {folder}: {reason}") from error
    if processor.chat_template is None:
        raise AdapterError(f"the processor in {folder} has no chat template")
    return FAMILIES[family](folder, model.to(device), processor)
