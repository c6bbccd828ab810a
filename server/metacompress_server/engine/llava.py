"""LLaVA-1.5 whose pictures reach the language model as m tokens: tower, projector, mapping."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from vllm.model_executor.models.interfaces import SupportsMRoPE
from vllm.model_executor.models.llava import LlavaForConditionalGeneration
from vllm.multimodal import MULTIMODAL_REGISTRY

from metacompress_compressor.artifact import load_config
from metacompress_server.engine_calls import COMPRESS, ENCODE
from metacompress_server.plan import Budget, prompt_positions

from .compressors import LoadedCompressors, PictureBudget
from .configuration import compressor_folder
from .look import Look
from .processor import (
    DIGEST,
    RATIO,
    CompressingProcessingInfo,
    CompressingProcessor,
    UncompressedDummyInputs,
)
from .rotary import use_ordinary_rotary
from .stopwatch import Stopwatch

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.multimodal.inputs import MultiModalFeatureSpec, MultiModalKwargsItem
    from vllm.sequence import IntermediateTensors


@MULTIMODAL_REGISTRY.register_processor(
    CompressingProcessor,
    info=CompressingProcessingInfo,
    dummy_inputs=UncompressedDummyInputs,
)
class MetaCompressLlavaForConditionalGeneration(LlavaForConditionalGeneration, SupportsMRoPE):
    """vLLM's LLaVA-1.5 with the mapping of an artifact behind the projector."""

    def __init__(self, *, vllm_config: "VllmConfig", prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        folder = compressor_folder(vllm_config.model_config)
        self.num_visual_tokens = load_config(folder).base_model.grid.num_tokens
        self.compressors = LoadedCompressors(
            vllm_config.device_config.device, vllm_config.model_config.dtype
        )
        self.compressors.load(folder)
        self.stopwatch = Stopwatch(vllm_config.device_config.device)
        budget = vllm_config.scheduler_config.max_num_encoder_input_tokens
        self.largest_tower_batch = max(1, budget // self.num_visual_tokens)
        use_ordinary_rotary(self.language_model)

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: "IntermediateTensors | None" = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: object,
    ) -> "Tensor | IntermediateTensors":
        """As vLLM; of the three equal rows of positions `[3, T]` the language model gets one."""
        row = positions[0] if positions.ndim == 2 else positions
        return super().forward(input_ids, row, intermediate_tensors, inputs_embeds, **kwargs)

    def embed_multimodal(self, **kwargs: object) -> list[Tensor]:
        """Compressed visual tokens `[M, D]` of each picture of a batch.

        The scheduler fills a batch by m; the tower's memory grows with n. So the tower gets no more
        pictures at a time than fitted when memory was measured, with pictures of n tokens.
        """
        pictures = _pictures(kwargs.pop(DIGEST, ()), kwargs.pop(RATIO, ()))
        pixels = kwargs.pop("pixel_values", None)
        if not isinstance(pixels, Tensor):
            return []
        with self.stopwatch.measure(ENCODE, len(pixels)):
            parts = [
                self._visual_tokens(part) for part in torch.split(pixels, self.largest_tower_batch)
            ]
        with self.stopwatch.measure(COMPRESS, len(pixels)):
            # A copy would move as many bytes as the whole mapping, so one part is left where it is.
            visual_tokens = parts[0] if len(parts) == 1 else torch.cat(parts)
            return self.compressors.compress(visual_tokens, pictures)

    @torch.inference_mode()
    def look(self, pixels: Tensor, picture: PictureBudget) -> Look:
        """What the kept tokens of one picture look at.

        Args:
            pixels: `[3, H, W]`, on any device.
            picture: whose mapping and budget.
        """
        visual_tokens = self._visual_tokens(pixels.unsqueeze(0).to(self.compressors.device))
        return Look(*self.compressors.weights(visual_tokens, picture))

    def _visual_tokens(self, pixels: Tensor) -> Tensor:
        """Tower and projector: `[B, 3, H, W]` to `[B, N, D]`."""
        visual_tokens: Tensor = super().embed_multimodal(pixel_values=pixels)
        return visual_tokens

    def get_mrope_input_positions(
        self, input_tokens: list[int], mm_features: list["MultiModalFeatureSpec"]
    ) -> tuple[Tensor, int]:
        """Positions of a prompt as three equal rows, ordinary 1-D rotary positions.

        Returns:
            `[3, tokens]`, and what to add to a later token's index to get its position.
        """
        pictures = [(feature.mm_position.offset, self._budget(feature)) for feature in mm_features]
        *positions, following = prompt_positions(
            len(input_tokens), sorted(pictures, key=lambda picture: picture[0])
        )
        return torch.tensor(positions).repeat(3, 1), following - len(input_tokens)

    def _budget(self, feature: "MultiModalFeatureSpec") -> Budget:
        item = feature.data
        return self.compressors.budget(PictureBudget.read(item[DIGEST].data, item[RATIO].data))

    def get_mm_lora_token_counts(
        self,
        *,
        modality: str,
        mm_kwargs: "MultiModalKwargsItem | None",
        num_mm_embeds: int,
    ) -> tuple[int, int | None]:
        """Tokens that tower and projector see for a picture: all n, not the m that remain."""
        del modality, mm_kwargs, num_mm_embeds
        return self.num_visual_tokens, self.num_visual_tokens


def _pictures(digests: object, ratios: object) -> list[PictureBudget]:
    """From `[B, 32]` and `[B]`."""
    assert isinstance(digests, Tensor)
    assert isinstance(ratios, Tensor)
    return [
        PictureBudget.read(digest, ratio) for digest, ratio in zip(digests, ratios, strict=True)
    ]
