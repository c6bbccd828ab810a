"""vLLM's LLaVA processor: m placeholders per picture, an identity that names the compressor."""

import functools
import hashlib

from vllm.exceptions import VLLMValidationError
from vllm.inputs import MultiModalHashes, MultiModalInput
from vllm.model_executor.models.llava import LlavaMultiModalProcessor, LlavaProcessingInfo
from vllm.multimodal.parse import ImageProcessorItems
from vllm.multimodal.processing import ProcessorInputs, TimingContext

from metacompress_server.plan import CompressionPlan, load_plan
from metacompress_server.rope import position_limit

from .configuration import compressor_folder


class CompressingProcessingInfo(LlavaProcessingInfo):
    """How many placeholders a picture takes: m, whatever its size."""

    @functools.cached_property
    def plan(self) -> CompressionPlan:
        return load_plan(compressor_folder(self.ctx.model_config))

    @functools.cached_property
    def max_positions(self) -> int:
        return position_limit(self.ctx.model_config.hf_text_config.to_dict())

    def get_num_image_tokens(self, *, image_width: int, image_height: int) -> int:
        num_visual_tokens = super().get_num_image_tokens(
            image_width=image_width, image_height=image_height
        )
        if num_visual_tokens != self.plan.num_visual_tokens:
            raise ValueError(
                f"the model makes {num_visual_tokens} visual tokens per picture, the compressor "
                f"expects {self.plan.num_visual_tokens}"
            )
        return self.plan.num_compressed_tokens


class CompressingProcessor(LlavaMultiModalProcessor):
    """Lays out compressed pictures; vLLM's own processor does the rest."""

    info: CompressingProcessingInfo

    def _get_mm_hashes(self, inputs: ProcessorInputs) -> MultiModalHashes:
        """Identity of each picture in the processor cache, the encoder cache and the prefix cache.

        A digest of content, compressor and m. A client's uuid is mixed in and never stands alone:
        it can split what is the same, never join what is not.
        """
        by_content = ProcessorInputs(
            inputs.prompt,
            inputs.mm_data_items,
            hf_processor_mm_kwargs=inputs.hf_processor_mm_kwargs,
            media_io_kwargs=inputs.media_io_kwargs,
        )
        uuids = inputs.mm_uuid_items or {}
        return {
            modality: [
                self._identity(digest, uuid)
                for digest, uuid in zip(
                    digests, uuids.get(modality) or [None] * len(digests), strict=True
                )
            ]
            for modality, digests in super()._get_mm_hashes(by_content).items()
        }

    def _identity(self, content: str, uuid: str | None) -> str:
        parts = "\n".join([self.info.plan.identity, content, uuid or ""])
        return hashlib.sha256(parts.encode()).hexdigest()

    def apply(self, inputs: ProcessorInputs, timing_ctx: TimingContext) -> MultiModalInput:
        """As in vLLM, and refuse what the model cannot take.

        Raises:
            VLLMValidationError: something else than pictures, more or fewer placeholders than
                pictures, or positions beyond the model's limit. Answered with status 400.
        """
        _refuse_all_but_pictures(inputs)
        self._match_placeholders(inputs)
        prompt = super().apply(inputs, timing_ctx)
        num_tokens = len(prompt["prompt_token_ids"])
        num_pictures = len(prompt["mm_placeholders"].get("image", []))
        positions = self.info.plan.num_positions(num_tokens, num_pictures)
        if positions >= self.info.max_positions:
            raise VLLMValidationError(
                f"This model's maximum context length is {self.info.max_positions} positions. "
                f"However, the prompt's "
                f"positions reach {positions}: {num_tokens} tokens, of which {num_pictures} "
                f"pictures take {self.info.plan.num_compressed_tokens} each but keep "
                f"{self.info.plan.num_visual_tokens} positions. Send fewer pictures or less text.",
            )
        return prompt

    def _match_placeholders(self, inputs: ProcessorInputs) -> None:
        """Typed into text, or cut off by truncation, a placeholder would move every picture."""
        placeholders = inputs.prompt.count(self.info.get_hf_config().image_token_index)
        pictures = inputs.mm_data_items.get_all_counts().get("image", 0)
        if placeholders != pictures:
            raise VLLMValidationError(
                f"the prompt has {placeholders} picture placeholders for {pictures} pictures"
            )


def _refuse_all_but_pictures(inputs: ProcessorInputs) -> None:
    """Only pixels can be compressed: no ready-made embeddings, no uuid in a picture's place."""
    uuids = (inputs.mm_uuid_items or {}).get("image") or []
    items = inputs.mm_data_items.get("image")
    if items is None:
        if uuids:
            raise VLLMValidationError("a picture's uuid without the picture is not accepted")
        return
    if not isinstance(items, ImageProcessorItems):
        raise VLLMValidationError("ready-made picture embeddings are not accepted")
    if any(picture is None for picture in items.get_all()):
        raise VLLMValidationError("a picture's uuid without the picture is not accepted")
