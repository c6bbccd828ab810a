"""Initial weights of the language model that make looking things up the easy thing to learn.

Three habits of trained language models are given from the start: words of one sort have similar
embeddings; attention looks at near or at similar tokens and copies what it finds (after mimetic
initialization, Trockman and Kolter 2023); the output layer names what the hidden state resembles.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from transformers import LlamaConfig, LlavaForConditionalGeneration, PreTrainedTokenizerFast

from metacompress_compressor.scenes import CATEGORIES, OBJECTS
from metacompress_compressor.scenes.layout import BACKGROUNDS
from metacompress_compressor.scenes.questions import NUMBERS

_EMBEDDING_STD: Final = 0.5
_SORT_STD: Final = 0.35
_COMMON_STD: Final = 0.5
_LOCAL_STD: Final = 0.07
_CONTENT_STD: Final = 0.055
_COPY_STD: Final = 0.08
_MLP_STD: Final = 0.02
_OUTPUT_SCALE: Final = 0.1
#: Rotary pairs that turn by more than this many radians per token tell near from far; the others
#: still recognise their like across a whole picture.
_FAST_TURN: Final = 0.0025


def word_sorts() -> list[list[str]]:
    """Groups of words that answer, or ask for, the same sort of thing."""
    members: dict[str, list[str]] = {category: [] for category in CATEGORIES}
    for item in OBJECTS.values():
        members[item.category].append(f" {item.name}")
    nouns = [[f" {plural}", f" {CATEGORIES[plural]}", *names] for plural, names in members.items()]
    return [
        *nouns,
        [*(f" {color}" for color in BACKGROUNDS), " color", " background"],
        [" top", " bottom", " left", " right", " center", " at", "Where"],
        [" big", " small", " bigger", " smaller"],
        [*(f" {number}" for number in NUMBERS), " many"],
    ]


def word_id(tokenizer: PreTrainedTokenizerFast, word: str) -> int:
    """The id of a word that is one token, leading space included.

    Raises:
        ValueError: The word is split into several tokens.
    """
    ids = tokenizer.encode(word, add_special_tokens=False)
    if len(ids) != 1:
        raise ValueError(f"{word!r} is {len(ids)} tokens, not one")
    return int(ids[0])


def _fast_rows(config: LlamaConfig) -> Tensor:
    """Which rows of one head's query and key belong to fast rotary pairs, `[head_dim]`, bool."""
    half = config.head_dim // 2
    base: float = config.rope_parameters["rope_theta"]
    turns = torch.pow(base, -torch.arange(half) / half)
    return (turns > _FAST_TURN).repeat(2)


def _attention_weights(config: LlamaConfig) -> tuple[Tensor, Tensor]:
    """Query (= key) and value (= transposed output) weights, `[hidden_size, hidden_size]`.

    The first head looks at what is near, the others at what is alike; all copy what they find.
    """
    fast = _fast_rows(config)
    local = _LOCAL_STD * fast
    content = _CONTENT_STD * ~fast
    scale = torch.cat([local, *[content] * (config.num_attention_heads - 1)])
    size = (config.hidden_size, config.hidden_size)
    return scale[:, None] * torch.randn(size), _COPY_STD * torch.randn(size)


@torch.no_grad()
def initialize_language_model(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Draws the language model's weights anew from torch's global generator."""
    language = model.model.language_model
    for layer in language.layers:
        attention, mlp = layer.self_attn, layer.mlp
        query, value = _attention_weights(language.config)
        attention.q_proj.weight.copy_(query)
        attention.k_proj.weight.copy_(query)
        attention.v_proj.weight.copy_(value)
        attention.o_proj.weight.copy_(value.T)
        mlp.gate_proj.weight.normal_(std=_MLP_STD)
        mlp.up_proj.weight.normal_(std=_MLP_STD)
        mlp.down_proj.weight.normal_(std=_MLP_STD / (2 * len(language.layers)) ** 0.5)
    embeddings = language.embed_tokens.weight
    embeddings.normal_(std=_EMBEDDING_STD)
    for sort in word_sorts():
        ids = [word_id(tokenizer, word) for word in sort]
        embeddings[ids] += _SORT_STD * torch.randn(embeddings.shape[1])
    model.lm_head.weight.copy_(_OUTPUT_SCALE * embeddings)
    # What all tokens have in common is what "near" is measured by.
    embeddings += _COMMON_STD * torch.randn(embeddings.shape[1])
