"""LLaVA-1.5: every picture the same square grid, a CLIP tower, a two-layer projector."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from metacompress_compressor.windows import Grid

from .base import Adapter


class LlavaAdapter(Adapter):
    """transformers' `LlavaForConditionalGeneration`."""

    @property
    def grid(self) -> Grid:
        vision = self.model.config.vision_config
        side = vision.image_size // vision.patch_size
        return Grid(side, side)

    @torch.no_grad()
    def visual_tokens(self, pictures: Sequence[Image.Image]) -> Tensor:
        rgb = [picture.convert("RGB") for picture in pictures]
        pixels = self.processor.image_processor(rgb, return_tensors="pt")["pixel_values"]
        features = self.model.get_image_features(
            pixel_values=pixels.to(self.device, self.model.dtype), return_dict=True
        )
        return torch.stack(list(features.pooler_output))
