"""vLLM's LLaVA processor: m placeholders per picture, an identity that names the compressor."""

import functools
import hashlib
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import torch
from vllm.exceptions import VLLMValidationError
from vllm.inputs import MultiModalHashes, MultiModalInput
from vllm.model_executor.models.llava import (
    LlavaDummyInputsBuilder,
    LlavaMultiModalProcessor,
    LlavaProcessingInfo,
)
from vllm.multimodal.inputs import MultiModalFieldConfig
from vllm.multimodal.parse import ImageProcessorItems, MultiModalDataItems
from vllm.multimodal.processing import (
    ProcessorInputs,
    PromptReplacement,
    PromptUpdate,
    TimingContext,
)

from metacompress_server.pictures.details import UNCOMPRESSED
from metacompress_server.pictures.tag import TAG, PictureTag, tag_of
from metacompress_server.plan import Budget, CompressionPlan
from metacompress_server.rope import position_limit

from .compressors import PictureBudget
from .current import current_plan

DIGEST = "metacompress_digest"
RATIO = "metacompress_ratio"
"""Fields of a picture's processed inputs, as `PictureBudget` writes them."""

_NOBODY = PictureTag(tenant_salt="")
"""The tag of a picture that did not come through the server's front door."""


class TooManyPositions(VLLMValidationError):
    """The prompt's positions go beyond the model's limit."""


class CompressingProcessingInfo(LlavaProcessingInfo):
    """How many placeholders a picture takes at most: n, where it stays uncompressed."""

    @property
    def plan(self) -> CompressionPlan:
        """What new pictures are laid out by; another one after a reload."""
        return current_plan(self.ctx.model_config)

    @functools.cached_property
    def max_positions(self) -> int:
        return position_limit(self.ctx.model_config.hf_text_config.to_dict())

    def get_num_image_tokens(self, *, image_width: int, image_height: int) -> int:
        num_visual_tokens = int(
            super().get_num_image_tokens(image_width=image_width, image_height=image_height)
        )
        if num_visual_tokens != self.plan.num_visual_tokens:
            raise ValueError(
                f"the model makes {num_visual_tokens} visual tokens per picture, the compressor "
                f"expects {self.plan.num_visual_tokens}"
            )
        return num_visual_tokens


class UncompressedDummyInputs(LlavaDummyInputsBuilder):
    """Memory is measured with pictures that keep all their tokens, the most that can come."""

    def get_dummy_mm_data(self, *args: Any, **options: Any) -> Any:
        data = super().get_dummy_mm_data(*args, **options)
        for picture in data["image"]:
            picture.info[TAG] = PictureTag(tenant_salt="", detail=UNCOMPRESSED)
        return data


class CompressingProcessor(LlavaMultiModalProcessor):
    """Lays out compressed pictures; vLLM's own processor does the rest."""

    info: CompressingProcessingInfo
    _plan: ContextVar[CompressionPlan] = ContextVar("metacompress_plan")
    """One plan for all of a prompt's pictures, even while a reload replaces it."""

    def apply(self, inputs: ProcessorInputs, timing_ctx: TimingContext) -> MultiModalInput:
        """As in vLLM, and refuse what the model cannot take.

        Raises:
            VLLMValidationError: something else than pictures, more or fewer placeholders than
                pictures, an unknown detail. Answered with status 400.
            TooManyPositions: likewise.
        """
        _refuse_all_but_pictures(inputs)
        self._match_placeholders(inputs)
        pinned = self._plan.set(self.info.plan)
        try:
            prompt = super().apply(inputs, timing_ctx)
        finally:
            self._plan.reset(pinned)
        self._refuse_too_many_positions(prompt)
        return prompt

    def _get_mm_hashes(self, inputs: ProcessorInputs) -> MultiModalHashes:
        """Identity of each picture in the processor cache, the encoder caches and the KV caches.

        A digest of tenant, content, model, compressor and m. A client's uuid is mixed in and never
        stands alone: it can split what is the same, never join what is not.
        """
        by_content = ProcessorInputs(
            inputs.prompt,
            inputs.mm_data_items,
            hf_processor_mm_kwargs=inputs.hf_processor_mm_kwargs,
            media_io_kwargs=inputs.media_io_kwargs,
        )
        digests = super()._get_mm_hashes(by_content).get("image")
        if digests is None:
            return {}
        pictures = inputs.mm_data_items.get_items("image", ImageProcessorItems)
        uuids = (inputs.mm_uuid_items or {}).get("image") or [None] * len(digests)
        return {
            "image": [
                self._identity(digest, pictures.get(index), uuid)
                for index, (digest, uuid) in enumerate(zip(digests, uuids, strict=True))
            ]
        }

    def _identity(self, content: str, picture: object, uuid: str | None) -> str:
        model = self.info.ctx.model_config
        tag = tag_of(picture) or _NOBODY
        parts = [
            tag.tenant_salt,
            content,
            f"{model.model}@{model.revision}",
            self._plan.get().identity,
            self._budget(picture).identity,
            uuid or "",
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _budget(self, picture: object) -> Budget:
        tag = tag_of(picture) or _NOBODY
        try:
            return self._plan.get().budget(tag.detail)
        except ValueError as error:
            raise VLLMValidationError(f"image_url.{error}") from error

    def _get_prompt_updates(
        self,
        mm_items: MultiModalDataItems,
        hf_processor_mm_kwargs: Mapping[str, object],
        out_mm_kwargs: object,
    ) -> Sequence[PromptUpdate]:
        """m placeholders in the place of one, m by the picture's own budget."""
        token = self.info.get_hf_config().image_token_index

        def placeholders(index: int) -> list[int]:
            pictures = mm_items.get_items("image", ImageProcessorItems)
            return [token] * self._budget(pictures.get(index)).num_tokens

        return [PromptReplacement(modality="image", target=[token], replacement=placeholders)]

    def _postprocess_hf_mm_data(
        self, mm_inputs: Mapping[str, Any], hf_processor_mm_kwargs: object, processed_data: Any
    ) -> Any:
        """Add each picture's compressor and budget to its processed inputs."""
        pictures = mm_inputs.get("images")
        if pictures:
            written = [
                PictureBudget(
                    self._plan.get().identity, self._budget(picture).retention_ratio
                ).tensors()
                for picture in pictures
            ]
            processed_data[DIGEST] = torch.stack([digest for digest, _ in written])
            processed_data[RATIO] = torch.stack([ratio for _, ratio in written])
        return processed_data

    def _get_mm_fields_config(
        self, hf_inputs: object, hf_processor_mm_kwargs: object
    ) -> Mapping[str, MultiModalFieldConfig]:
        """Ours stay on the CPU: the model reads them before it computes."""
        return {
            "pixel_values": MultiModalFieldConfig.batched("image"),
            DIGEST: MultiModalFieldConfig.batched("image", keep_on_cpu=True),
            RATIO: MultiModalFieldConfig.batched("image", keep_on_cpu=True),
        }

    def _refuse_too_many_positions(self, prompt: MultiModalInput) -> None:
        num_tokens = len(prompt["prompt_token_ids"])
        lengths = [span.length for span in prompt["mm_placeholders"].get("image", [])]
        plan = self.info.plan
        positions = plan.num_positions(num_tokens, lengths)
        if positions >= self.info.max_positions:
            raise TooManyPositions(
                f"This model's maximum context length is {self.info.max_positions} positions. "
                f"However, the prompt's positions reach {positions}: {num_tokens} tokens, of which "
                f"{len(lengths)} pictures take {sum(lengths)} but keep "
                f"{len(lengths) * plan.num_visual_tokens} positions. "
                "Send fewer pictures or less text.",
            )

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
