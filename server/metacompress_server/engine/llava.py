"""LLaVA-1.5 whose pictures reach the language model as m tokens: tower, projector, mapping."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from vllm.model_executor.models.interfaces import SupportsMRoPE
from vllm.model_executor.models.llava import (
    LlavaDummyInputsBuilder,
    LlavaForConditionalGeneration,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from metacompress_compressor.artifact import load_artifact
from metacompress_server.plan import CompressionPlan

from .configuration import compressor_folder
from .processor import CompressingProcessingInfo, CompressingProcessor

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.model_executor.models.llava import LlavaImageInputs
    from vllm.multimodal.inputs import MultiModalFeatureSpec, MultiModalKwargsItem


@MULTIMODAL_REGISTRY.register_processor(
    CompressingProcessor,
    info=CompressingProcessingInfo,
    dummy_inputs=LlavaDummyInputsBuilder,
)
class MetaCompressLlavaForConditionalGeneration(LlavaForConditionalGeneration, SupportsMRoPE):
    """vLLM's LLaVA-1.5 with the mapping of an artifact behind the projector."""

    def __init__(self, *, vllm_config: "VllmConfig", prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        artifact = load_artifact(compressor_folder(vllm_config.model_config))
        self.plan = CompressionPlan.of(artifact)
        self.grid = artifact.config.base_model.grid
        self.retention_ratio = artifact.config.retention_ratio
        self.token_mapping = artifact.mapping.to(vllm_config.device_config.device)

    def _process_image_input(self, image_input: "LlavaImageInputs") -> Tensor:
        """Compressed visual tokens `[B, M, D]` of a batch of pictures."""
        visual_tokens = super()._process_image_input(image_input)
        compressed: Tensor = self.token_mapping(visual_tokens, self.grid, self.retention_ratio)
        return compressed

    def get_mrope_input_positions(
        self, input_tokens: list[int], mm_features: list["MultiModalFeatureSpec"]
    ) -> tuple[Tensor, int]:
        """Positions of a prompt as three equal rows, ordinary 1-D rotary positions.

        Returns:
            `[3, tokens]`, and what to add to a later token's index to get its position.
        """
        starts = sorted(feature.mm_position.offset for feature in mm_features)
        positions = self.plan.positions(len(input_tokens), starts)
        delta = self.plan.num_positions(0, len(starts))
        return torch.tensor(positions).repeat(3, 1), delta

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """Load the checkpoint; the mapping's own weights came with the artifact."""
        loaded: set[str] = super().load_weights(weights)
        return loaded | {
            f"token_mapping.{name}" for name, _ in self.token_mapping.named_parameters()
        }

    def get_mm_lora_token_counts(
        self,
        *,
        modality: str,
        mm_kwargs: "MultiModalKwargsItem | None",
        num_mm_embeds: int,
    ) -> tuple[int, int | None]:
        """Tokens that tower and projector see for a picture: all n, not the m that remain."""
        del modality, mm_kwargs, num_mm_embeds
        return self.plan.num_visual_tokens, self.plan.num_visual_tokens
