"""LLaVA-1.5 with random weights in a few shapes, and a compressor for each.

Large enough that the tower and prefill cost something on a CPU, small enough to be written in
seconds. Says nothing about answers, only about time.
"""

import json
from dataclasses import dataclass
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

PATCH_SIZE = 14
HEAD_SIZE = 64
MAX_POSITIONS = 8192
RETENTION_RATIOS = (0.05, 0.1, 0.2, 0.3, 0.5)


@dataclass(frozen=True)
class Shape:
    """Sizes of the two halves; heads of both have 64 channels.

    image_size: side of the picture that the tower sees, in pixels; a token is 14 x 14 of them.
    tower_layers: of which the last is not used, as in LLaVA.
    """

    image_size: int = 336
    tower_hidden: int = 512
    tower_layers: int = 8
    hidden: int = 512
    layers: int = 8

    @property
    def num_visual_tokens(self) -> int:
        """n."""
        return (self.image_size // PATCH_SIZE) ** 2


EVEN = Shape()
"""Tower and language model of the same size: the tower bounds what compression can gain."""

PROPORTIONED = Shape(tower_hidden=256, tower_layers=7, hidden=768, layers=12)
"""The tower's work is about a twentieth of the language model's, as in LLaVA-1.5-7B."""

LARGER = Shape(tower_hidden=384, tower_layers=11, hidden=1280, layers=16)
"""The same proportions, with four times the weights."""


def save_random_llava(folder: Path, *, shape: Shape = EVEN, seed: int = 0) -> Path:
    """Write the checkpoint, with the embedded model's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(model_dir())
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(_config(tokenizer, shape))
    export_checkpoint(model, tokenizer, folder)
    save_processor(folder, tokenizer, shape.image_size, PATCH_SIZE)
    return folder


def save_processor(
    folder: Path, tokenizer: AutoTokenizer, image_size: int, patch_size: int
) -> None:
    """Write the processor of a LLaVA-1.5 whose tower sees squares of `image_size` pixels."""
    side = {"height": image_size, "width": image_size}
    LlavaProcessor(
        image_processor=CLIPImageProcessor(size=side, crop_size=side),
        tokenizer=tokenizer,
        patch_size=patch_size,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    ).save_pretrained(folder)


def save_random_compressor(
    folder: Path, model: Path, *, shape: Shape = EVEN, seed: int = 1
) -> Path:
    """Write an artifact that keeps a tenth of the tokens unless told otherwise, and positions."""
    torch.manual_seed(seed)
    mapping = TokenMapping(shape.hidden, 64, method="row_softmax", windows="2d")
    about = BaseModelInfo(
        id="random-llava",
        fingerprint=model_fingerprint(model),
        image_size=shape.image_size,
        patch_size=PATCH_SIZE,
    )
    return save_untrained(folder, mapping, about, RETENTION_RATIOS)


def save_untrained(
    folder: Path, mapping: TokenMapping, about: BaseModelInfo, ratios: tuple[float, ...]
) -> Path:
    """Write a mapping as an artifact with kept positions, a tenth of the tokens by default."""
    config = CompressorConfig.describe(
        mapping,
        positions="kept",
        retention_ratio=0.1,
        trained_retention_ratios=ratios,
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


def _config(tokenizer: AutoTokenizer, shape: Shape) -> LlavaConfig:
    vision = CLIPVisionConfig(
        hidden_size=shape.tower_hidden,
        intermediate_size=4 * shape.tower_hidden,
        num_hidden_layers=shape.tower_layers,
        num_attention_heads=shape.tower_hidden // HEAD_SIZE,
        image_size=shape.image_size,
        patch_size=PATCH_SIZE,
        projection_dim=shape.tower_hidden,
    )
    heads = shape.hidden // HEAD_SIZE
    text = LlamaConfig(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        hidden_size=shape.hidden,
        intermediate_size=3 * shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=HEAD_SIZE,
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
        image_seq_length=shape.num_visual_tokens,
        tie_word_embeddings=False,
    )
