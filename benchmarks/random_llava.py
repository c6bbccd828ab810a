"""A LLaVA-1.5 with 576 visual tokens per picture and random weights, and a compressor for it.

Large enough that the tower and prefill cost something on a CPU, small enough to be written in
seconds. Says nothing about answers, only about time.
"""

import json
from pathlib import Path

import torch
from transformers import (
    AutoTokenizer,
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from metacompress_compressor.artifact import BaseModelInfo, CompressorConfig, save_artifact
from metacompress_compressor.embedded import model_dir
from metacompress_compressor.embedded.export import export_checkpoint
from metacompress_compressor.fingerprint import model_fingerprint
from metacompress_compressor.mapping import TokenMapping

IMAGE_SIZE = 336
PATCH_SIZE = 14
HIDDEN_SIZE = 512
NUM_LAYERS = 8
HEADS = 8
MAX_POSITIONS = 8192


def save_random_llava(folder: Path, *, seed: int = 0) -> Path:
    """Write the checkpoint, with the embedded model's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(model_dir())
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(_config(tokenizer))
    export_checkpoint(model, tokenizer, folder)
    side = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    LlavaProcessor(
        image_processor=CLIPImageProcessor(size=side, crop_size=side),
        tokenizer=tokenizer,
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    ).save_pretrained(folder)
    return folder


def save_random_compressor(folder: Path, model: Path, *, seed: int = 1) -> Path:
    """Write an artifact that keeps a tenth of the tokens and their positions."""
    torch.manual_seed(seed)
    mapping = TokenMapping(HIDDEN_SIZE, 64, method="row_softmax", windows="2d")
    about = BaseModelInfo(
        id="random-llava",
        fingerprint=model_fingerprint(model),
        image_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
    )
    config = CompressorConfig.describe(
        mapping,
        positions="kept",
        retention_ratio=0.1,
        trained_retention_ratios=(0.1,),
        base_model=about,
    )
    save_artifact(folder, mapping, config)
    return folder


def parameters(folder: Path) -> int:
    """How many weights a checkpoint has."""
    size = (folder / "model.safetensors").stat().st_size
    return size // torch.tensor([], dtype=torch.bfloat16).element_size()


def kv_bytes_per_token(folder: Path, bytes_per_number: int = 4) -> int:
    """Keys and values of one token, in float32 unless said otherwise."""
    text = json.loads((folder / "config.json").read_text(encoding="utf-8"))["text_config"]
    numbers = 2 * text["num_hidden_layers"] * text["num_key_value_heads"] * text["head_dim"]
    return int(numbers * bytes_per_number)


def _config(tokenizer: AutoTokenizer) -> LlavaConfig:
    vision = CLIPVisionConfig(
        hidden_size=HIDDEN_SIZE,
        intermediate_size=4 * HIDDEN_SIZE,
        num_hidden_layers=NUM_LAYERS,
        num_attention_heads=HEADS,
        image_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
        projection_dim=HIDDEN_SIZE,
    )
    text = LlamaConfig(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        hidden_size=HIDDEN_SIZE,
        intermediate_size=3 * HIDDEN_SIZE,
        num_hidden_layers=NUM_LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        head_dim=HIDDEN_SIZE // HEADS,
        max_position_embeddings=MAX_POSITIONS,
        initializer_range=0.04,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        image_seq_length=(IMAGE_SIZE // PATCH_SIZE) ** 2,
        tie_word_embeddings=False,
    )
