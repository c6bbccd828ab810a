"""LLaVA-NeXT: an overview and tiles of the best resolution, so every picture size its own grid."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from .base import Adapter


class LlavaNextAdapter(Adapter):
    """transformers' `LlavaNextForConditionalGeneration`."""

    @torch.no_grad()
    def visual_tokens(self, pictures: Sequence[Image.Image]) -> Tensor:
        rgb = [picture.convert("RGB") for picture in pictures]
        inputs = self.processor.image_processor(rgb, return_tensors="pt")
        features = self.model.get_image_features(
            pixel_values=inputs["pixel_values"].to(self.device, self.model.dtype),
            image_sizes=inputs["image_sizes"].to(self.device),
            return_dict=True,
        )
        return torch.stack(list(features.pooler_output))
