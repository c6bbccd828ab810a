"""Shape of the embedded model, and its assembly from transformers' LLaVA-1.5 classes."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from metacompress_compressor.scenes import IMAGE_SIZE

PATCH_SIZE: Final = 16
GRID: Final = IMAGE_SIZE // PATCH_SIZE
NUM_VISUAL_TOKENS: Final = GRID * GRID
HIDDEN_SIZE: Final = 256
#: Pixels are mapped from [0, 1] to [-2, 2]: scenes have no meaningful statistics of their own.
PIXEL_MEAN: Final = 0.5
PIXEL_STD: Final = 0.25


def _vision_config() -> CLIPVisionConfig:
    # LLaVA reads the layer before the last, so one layer of the five is never used.
    return CLIPVisionConfig(
        hidden_size=192,
        intermediate_size=768,
        num_hidden_layers=5,
        num_attention_heads=6,
        image_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
        projection_dim=192,
    )


def _text_config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        hidden_size=HIDDEN_SIZE,
        intermediate_size=640,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=64,
        max_position_embeddings=4096,
        initializer_range=0.04,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
        tie_word_embeddings=False,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    """The embedded model with random weights, float32, on the CPU; about 6.9 M parameters."""
    config = LlavaConfig(
        vision_config=_vision_config(),
        text_config=_text_config(tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        image_seq_length=NUM_VISUAL_TOKENS,
        tie_word_embeddings=False,
    )
    return LlavaForConditionalGeneration(config)


def build_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """The processor that belongs to `build_model`: pictures are scaled to 256 x 256."""
    side = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    image_processor = CLIPImageProcessor(
        size=side,
        crop_size=side,
        do_center_crop=False,
        image_mean=[PIXEL_MEAN] * 3,
        image_std=[PIXEL_STD] * 3,
    )
    return LlavaProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )


def normalize_pixels(pictures: Tensor) -> Tensor:
    """Pictures `[B, H, W, 3]` uint8 -> pixel values `[B, 3, H, W]` float32, as the processor."""
    return (pictures.permute(0, 3, 1, 2).float() / 255.0 - PIXEL_MEAN) / PIXEL_STD


def tower_features(model: LlavaForConditionalGeneration, pixel_values: Tensor) -> Tensor:
    """Features of the vision tower that the projector reads, `[B, NUM_VISUAL_TOKENS, 192]`."""
    outputs = model.model.vision_tower(pixel_values, output_hidden_states=True)
    features: Tensor = outputs.hidden_states[-2][:, 1:]
    return features


def parameter_count(model: torch.nn.Module) -> int:
    """Number of trainable and frozen parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
