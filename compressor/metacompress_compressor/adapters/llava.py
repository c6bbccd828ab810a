"""LLaVA-1.5: every picture the same square grid, a CLIP tower, a two-layer projector."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor

from metacompress_compressor.windows import Grid

from .base import Adapter
from .vision_context import TowerLayer, VisionContext


class LlavaAdapter(Adapter):
    """transformers' `LlavaForConditionalGeneration`."""

    @torch.no_grad()
    def visual_tokens(self, pictures: Sequence[Image.Image]) -> Tensor:
        return self._visual_tokens(self._pixels(pictures))

    @torch.no_grad()
    def vision_context(self, pictures: Sequence[Image.Image]) -> VisionContext:
        last, penultimate = (
            self.model.model.vision_tower.encoder.layers[number].self_attn for number in (-1, -2)
        )
        projections = [
            layer for attn in (last, penultimate) for layer in (attn.q_proj, attn.k_proj)
        ]
        queries, keys, queries_before, keys_before = _outputs(
            projections, lambda: self._visual_tokens(self._pixels(pictures))
        )
        return VisionContext(
            TowerLayer.from_projections(queries, keys, last.num_heads),
            TowerLayer.from_projections(queries_before, keys_before, penultimate.num_heads),
        )

    @torch.no_grad()
    def visual_tokens_at(self, pictures: Sequence[Image.Image], grid: Grid) -> Tensor:
        patch = self.model.config.vision_config.patch_size
        size = {"height": grid.rows * patch, "width": grid.cols * patch}
        pixels = self._pixels(pictures, size=size, crop_size=size)
        return self._visual_tokens(pixels, interpolate_pos_encoding=True)

    def _pixels(self, pictures: Sequence[Image.Image], **options: Any) -> Tensor:
        rgb = [picture.convert("RGB") for picture in pictures]
        pixels = self.processor.image_processor(rgb, return_tensors="pt", **options)["pixel_values"]
        return cast(Tensor, pixels.to(self.device, self.model.dtype))

    def _visual_tokens(self, pixels: Tensor, **options: Any) -> Tensor:
        features = self.model.get_image_features(pixel_values=pixels, return_dict=True, **options)
        return torch.stack(list(features.pooler_output))


def _outputs(modules: Sequence[torch.nn.Module], run: Callable[[], object]) -> list[Tensor]:
    """What each of `modules` puts out while `run` runs; each must be called exactly once."""
    found: dict[torch.nn.Module, Tensor] = {}

    def keep(module: torch.nn.Module, inputs: Any, output: Tensor) -> None:
        found[module] = output

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return [found[module] for module in modules]
