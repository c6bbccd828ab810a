"""Checkpoints that the contestants need besides the embedded one, written when a run begins."""

import json
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from transformers import AutoTokenizer, LlavaForConditionalGeneration

from metacompress_compressor.embedded import model_dir
from metacompress_compressor.embedded.export import export_checkpoint

_POSITIONS = "model.vision_tower.embeddings.position_embedding.weight"


def save_smaller_pictures(folder: Path, side: int) -> Path:
    """The embedded model whose tower sees pictures of `side` pixels: fewer patches, fewer tokens.

    What everybody would do without a compressor: the tower's position embeddings are interpolated,
    nothing is trained.

    Args:
        folder: written to.
        side: in pixels, a multiple of the patch size.
    """
    full = LlavaForConditionalGeneration.from_pretrained(model_dir())
    config = full.config
    patches = side // config.vision_config.patch_size
    state = full.state_dict()
    state[_POSITIONS] = _resized(state[_POSITIONS], patches)
    config.vision_config.image_size = side
    config.image_seq_length = patches**2
    smaller = LlavaForConditionalGeneration(config)
    smaller.load_state_dict(state)
    export_checkpoint(smaller, AutoTokenizer.from_pretrained(model_dir()), folder)
    _set_processor_size(folder / "processor_config.json", side)
    return folder


def _resized(embeddings: Tensor, patches: int) -> Tensor:
    """Class and patch position embeddings `[1 + N, D]` for a grid of `patches` x `patches`."""
    class_token, grid = embeddings[:1], embeddings[1:]
    side = round(len(grid) ** 0.5)
    picture = grid.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    resized = interpolate(picture, size=(patches, patches), mode="bicubic", align_corners=False)
    return torch.cat([class_token, resized.flatten(2)[0].T])


def _set_processor_size(path: Path, side: int) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    size = {"height": side, "width": side}
    found["image_processor"] |= {"size": size, "crop_size": size}
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
