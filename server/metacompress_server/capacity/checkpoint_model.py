"""The shape of a checkpoint, from its configuration and the defaults that it leaves out."""

from pathlib import Path
from typing import Any

from metacompress_compressor.language_model_shape import LanguageModelShape

from .memory import CapacityError, weight_bytes
from .models import ModelShape
from .pictures import OneGrid, PictureRule, Tiles
from .vision import VisionShape

_FAMILIES = ("llava", "llava_next")


def checkpoint_model(folder: Path) -> ModelShape:
    """What a folder with a `config.json` holds; its weights need not be there.

    Raises:
        CapacityError: no configuration, or one of another family.
    """
    from transformers import AutoConfig

    if not (folder / "config.json").is_file():
        raise CapacityError(f"model folder {folder} has no config.json")
    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise CapacityError(f"{folder / 'config.json'} cannot be read: {error}") from error
    if config.model_type not in _FAMILIES:
        raise CapacityError(
            f"{folder}: model_type is {config.model_type}, known are {' and '.join(_FAMILIES)}; "
            "for others see the published shapes (--list)"
        )
    language = LanguageModelShape.of(config)
    return ModelShape(
        name=folder.resolve().name,
        source=str(folder / "config.json"),
        language=language,
        vision=_vision(config, language.hidden_size),
        pictures=_pictures(config),
        max_positions=config.get_text_config().max_position_embeddings,
        served=config.model_type == "llava",
        stored_bytes=weight_bytes(folder) or None,
    )


def _vision(config: Any, width: int) -> VisionShape:
    vision = config.vision_config
    layer = config.vision_feature_layer
    layers = vision.num_hidden_layers
    used = layers + 1 + layer if isinstance(layer, int) and layer < 0 else layers
    return VisionShape(
        hidden_size=vision.hidden_size,
        mlp_width=vision.intermediate_size,
        num_layers=layers,
        layers_used=used,
        patch_numbers=3 * vision.patch_size**2,
        projector=(vision.hidden_size, width, width),
    )


def _pictures(config: Any) -> PictureRule:
    vision = config.vision_config
    pinpoints = getattr(config, "image_grid_pinpoints", None)
    if not pinpoints:
        return OneGrid(vision.image_size, vision.patch_size)
    pairs = tuple((height, width) for height, width in pinpoints)
    return Tiles(vision.image_size, vision.patch_size, pairs)
