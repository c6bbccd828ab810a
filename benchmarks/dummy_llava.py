"""A LLaVA-1.5 folder of a published shape without its weights, for vLLM's `--load-format dummy`.

Speed and memory need no trained weights. The folder holds the configuration, the embedded model's
tokenizer, and one weights file with nothing but a random projector. An artifact is tied to the
projector in a checkpoint's files, so the server's check of one against the other runs as always and
finds what it wants; then vLLM computes with dummy weights, for the projector too. Nothing here lets
a server take an artifact that does not fit its folder: `--load-format dummy` is vLLM's own word for
"no weights", and nobody says it who wants answers.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    AutoTokenizer,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
)

from benchmarks.random_llava import save_processor, save_untrained
from metacompress_compressor.artifact import BaseModelInfo
from metacompress_compressor.embedded import model_dir
from metacompress_compressor.fingerprint import model_fingerprint
from metacompress_compressor.language_model_shape import LanguageModelShape
from metacompress_compressor.mapping import TokenMapping
from metacompress_server.capacity.models import KEY_DIM, ModelShape
from metacompress_server.capacity.pictures import OneGrid
from metacompress_server.capacity.published import PUBLISHED
from metacompress_server.capacity.vision import VisionShape

RETENTION_RATIOS = (0.05, 0.1, 0.3)
"""Trained for, says the artifact: the smallest is `low`, 0.1 is `auto`, the largest `high`."""

_CLIP_HEAD_SIZE = 64

TINY = ModelShape(
    "tiny",
    "nowhere: small enough for a CPU",
    LanguageModelShape(128, 2, 2, 2, 64, 256, 704),
    VisionShape(64, 128, 3, 2, 3 * 14 * 14, (64, 128, 128)),
    OneGrid(168, 14),
    4096,
    served=True,
)

SHAPES = {name: model for name, model in PUBLISHED.items() if model.served} | {"tiny": TINY}
"""Shapes that the server takes."""


def save_dummy_llava(folder: Path, model: ModelShape, *, seed: int = 0) -> Path:
    """Write everything but the weights of tower and language model."""
    assert isinstance(model.pictures, OneGrid)
    tokenizer = AutoTokenizer.from_pretrained(model_dir())
    _config(model, model.pictures, tokenizer).save_pretrained(folder)
    save_processor(folder, tokenizer, model.pictures.image_size, model.pictures.patch_size)
    GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=False
    ).save_pretrained(folder)
    _save_projector(folder / "model.safetensors", model.vision.projector, seed)
    return folder


def save_dummy_compressor(folder: Path, checkpoint: Path, model: ModelShape) -> Path:
    """Write an untrained artifact for such a folder, of the size that training makes by default."""
    assert isinstance(model.pictures, OneGrid)
    torch.manual_seed(1)
    mapping = TokenMapping(model.language.hidden_size, KEY_DIM, windows="2d")
    about = BaseModelInfo(
        id=f"dummy {model.name}",
        fingerprint=model_fingerprint(checkpoint),
        image_size=model.pictures.image_size,
        patch_size=model.pictures.patch_size,
    )
    return save_untrained(folder, mapping, about, RETENTION_RATIOS)


def _save_projector(file: Path, widths: tuple[int, ...], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    inner, middle, outer = widths
    shapes = {
        "linear_1.weight": (middle, inner),
        "linear_1.bias": (middle,),
        "linear_2.weight": (outer, middle),
        "linear_2.bias": (outer,),
    }
    tensors = {
        f"multi_modal_projector.{name}": torch.randn(shape, generator=generator).bfloat16()
        for name, shape in shapes.items()
    }
    save_file(tensors, file, metadata={"format": "pt"})


def _config(model: ModelShape, pictures: OneGrid, tokenizer: AutoTokenizer) -> LlavaConfig:
    language, tower = model.language, model.vision
    vision = CLIPVisionConfig(
        hidden_size=tower.hidden_size,
        intermediate_size=tower.mlp_width,
        num_hidden_layers=tower.num_layers,
        num_attention_heads=tower.hidden_size // _CLIP_HEAD_SIZE,
        image_size=pictures.image_size,
        patch_size=pictures.patch_size,
        projection_dim=tower.hidden_size,
    )
    text = LlamaConfig(
        vocab_size=language.vocabulary,
        hidden_size=language.hidden_size,
        intermediate_size=language.mlp_width,
        num_hidden_layers=language.num_layers,
        num_attention_heads=language.num_heads,
        num_key_value_heads=language.num_key_heads,
        head_dim=language.head_size,
        max_position_embeddings=model.max_positions,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return LlavaConfig(
        architectures=["LlavaForConditionalGeneration"],
        dtype="bfloat16",
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        image_seq_length=pictures.layout(1, 1).num_tokens,
        tie_word_embeddings=False,
    )
