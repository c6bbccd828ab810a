"""A LLaVA-1.5 checkpoint of a few hundred kilobytes with random weights, and artifacts for it."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from metacompress_compressor.artifact import BaseModelInfo, CompressorConfig, save_artifact
from metacompress_compressor.fingerprint import model_fingerprint
from metacompress_compressor.mapping import TokenMapping

IMAGE_SIZE = 64
PATCH_SIZE = 8
NUM_VISUAL_TOKENS = (IMAGE_SIZE // PATCH_SIZE) ** 2
HIDDEN_SIZE = 64
MAX_POSITIONS = 640
SPECIAL_TOKENS = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<image>"]
CHAT_TEMPLATE = (
    "{%- for message in messages -%}{{- '<|' + message['role'] + '|>' -}}"
    "{%- if message['content'] is string -%}{{- message['content'] -}}"
    "{%- else -%}{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'text' -%}{{- part['text'] -}}"
    "{%- else -%}{{- '<image>' -}}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "{%- if message['role'] == 'assistant' -%}{{- '<|end|>' -}}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, and the special ones."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*SPECIAL_TOKENS, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        extra_special_tokens={"image_token": "<image>"},
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=MAX_POSITIONS,
    )


def build_config(tokenizer: PreTrainedTokenizerFast, **text_config: Any) -> LlavaConfig:
    """Two layers each; `text_config` overrides the language model's."""
    vision = CLIPVisionConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
        projection_dim=64,
        initializer_factor=3.0,
    )
    text = LlamaConfig(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        hidden_size=HIDDEN_SIZE,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=MAX_POSITIONS,
        initializer_range=0.3,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        **text_config,
    )
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        image_seq_length=NUM_VISUAL_TOKENS,
        tie_word_embeddings=False,
    )


def save_checkpoint(folder: Path, *, seed: int = 0, **text_config: Any) -> Path:
    """Write a checkpoint with random weights from `seed`, as transformers and vLLM both load it."""
    tokenizer = build_tokenizer()
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(build_config(tokenizer, **text_config))
    model.float().save_pretrained(folder)
    weights = folder / "model.safetensors"
    save_file(
        {_vllm_key(key): tensor for key, tensor in load_file(weights).items()},
        weights,
        metadata={"format": "pt"},
    )
    side = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    image_processor = CLIPImageProcessor(size=side, crop_size=side)
    LlavaProcessor(
        image_processor,
        tokenizer,
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(folder)
    GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=False
    ).save_pretrained(folder)
    return folder


def _vllm_key(key: str) -> str:
    prefix = "vision_tower."
    head, found, rest = key.partition(prefix)
    if not found or rest.startswith("vision_model."):
        return key
    return f"{head}{prefix}vision_model.{rest}"


def save_compressor(
    folder: Path, model: Path, *, seed: int = 1, competing: bool = False, **changes: Any
) -> Path:
    """Write an artifact with random weights for a checkpoint.

    Args:
        folder: written to.
        model: the checkpoint.
        seed: of the weights.
        competing: the competing method over 1-D windows, else row softmax over 2-D ones.
        changes: fields of its configuration.
    """
    torch.manual_seed(seed)
    mapping = TokenMapping(
        HIDDEN_SIZE,
        16,
        method="competing" if competing else "row_softmax",
        windows="1d" if competing else "2d",
    )
    mapping.beta.data.fill_(4.0)
    settings: dict[str, Any] = {
        "positions": "kept",
        "retention_ratio": 0.1,
        "trained_retention_ratios": (0.1,),
        "base_model": BaseModelInfo(
            id="tiny",
            fingerprint=model_fingerprint(model),
            image_size=IMAGE_SIZE,
            patch_size=PATCH_SIZE,
        ),
        **changes,
    }
    save_artifact(folder, mapping, CompressorConfig.describe(mapping, **settings))
    return folder
