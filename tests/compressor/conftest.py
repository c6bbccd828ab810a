"""Tiny random LLaVA-1.5 and LLaVA-NeXT checkpoints and a few dialogues, made from nothing."""

import json
import random

import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessor,
    LlavaNextProcessor,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

SPECIAL = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<image>"]
TEMPLATE = (
    "{%- for message in messages -%}<|{{ message.role }}|>"
    "{%- for part in message.content -%}"
    "{%- if part.type == 'image' -%}<image>{%- else -%}{{ part.text }}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if message.role == 'assistant' -%}<|end|>{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)


def byte_tokenizer():
    entries = SPECIAL + sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({entry: i for i, entry in enumerate(entries)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        extra_special_tokens={"user": "<|user|>", "assistant": "<|assistant|>", "image": "<image>"},
    )


def tiny_parts(vocab_size):
    return {
        "vision_config": CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=32,
            patch_size=8,
        ),
        "text_config": LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=512,
            initializer_range=0.2,
        ),
        "image_token_index": SPECIAL.index("<image>"),
        "image_seq_length": 16,
    }


@pytest.fixture(scope="session")
def tiny_llava(tmp_path_factory):
    """Folder of a random LLaVA-1.5: 32 x 32 pictures, 4 x 4 = 16 visual tokens of 32 channels."""
    folder = tmp_path_factory.mktemp("tiny-llava")
    torch.manual_seed(0)
    tokenizer = byte_tokenizer()
    LlavaForConditionalGeneration(LlavaConfig(**tiny_parts(len(tokenizer)))).save_pretrained(folder)
    side = {"height": 32, "width": 32}
    LlavaProcessor(
        image_processor=CLIPImageProcessor(size=side, crop_size=side, do_center_crop=False),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_llava_next(tmp_path_factory):
    """Folder of a random LLaVA-NeXT: tiles of 32 x 32 pixels and 4 x 4 tokens, up to 2 x 2."""
    folder = tmp_path_factory.mktemp("tiny-llava-next")
    torch.manual_seed(0)
    tokenizer = byte_tokenizer()
    pinpoints = [[32, 64], [64, 32], [64, 64], [96, 32]]
    config = LlavaNextConfig(**tiny_parts(len(tokenizer)), image_grid_pinpoints=pinpoints)
    LlavaNextForConditionalGeneration(config).save_pretrained(folder)
    side = {"height": 32, "width": 32}
    LlavaNextProcessor(
        image_processor=LlavaNextImageProcessor(
            size={"shortest_edge": 32}, crop_size=side, image_grid_pinpoints=pinpoints
        ),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def dialogue_folder(tmp_path):
    """Folder with eight pictures and `dialogues.jsonl`: ten dialogues of one to three turns."""
    rng = random.Random(0)
    folder = tmp_path / "dialogues"
    folder.mkdir()
    for number in range(8):
        coarse = Image.frombytes("RGB", (4, 4), rng.randbytes(48))
        coarse.resize((40, 48), Image.Resampling.BILINEAR).save(folder / f"{number}.png")
    lines = []
    for number in range(10):
        turns = [
            {"question": f"what is {turn}?", "answer": rng.choice(["a fox", "no"]), "kind": kind}
            for turn, kind in enumerate(["place", "count", "place"][: 1 + number % 3])
        ]
        lines.append(json.dumps({"image": f"{number % 8}.png", "turns": turns}))
    (folder / "dialogues.jsonl").write_text("\n".join(lines) + "\n")
    return folder
