"""The embedded model's tokenizer: byte-level BPE in which every word of the scenes is one token."""

from __future__ import annotations

import random
from typing import Final

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from metacompress_compressor.scenes import CATEGORIES, CELL_NAMES, OBJECTS, sample_dialogue
from metacompress_compressor.scenes.layout import BACKGROUNDS
from metacompress_compressor.scenes.questions import NUMBERS

PAD: Final = "<|pad|>"
END: Final = "<|end|>"
USER: Final = "<|user|>"
ASSISTANT: Final = "<|assistant|>"
SYSTEM: Final = "<|system|>"
IMAGE: Final = "<image>"
VOCAB_SIZE: Final = 1024
#: System prompts that training mixes in, so that one is no surprise to the model.
SYSTEM_PROMPTS: Final = (
    "You are a helpful assistant.",
    "Answer in one short sentence.",
    "Be brief.",
)

#: One message: its role token, its pictures, its text. An assistant's message ends with `END`.
CHAT_TEMPLATE: Final = (
    "{%- for message in messages -%}"
    "{{- '<|' + message['role'] + '|>' -}}"
    "{%- if message['content'] is string -%}{{- message['content'] -}}"
    "{%- else -%}"
    "{%- for part in message['content'] if part['type'] in ('image', 'image_url') -%}"
    "{{- '<image>' -}}{%- endfor -%}"
    "{%- for part in message['content'] if part['type'] == 'text' -%}"
    "{{- part['text'] -}}{%- endfor -%}"
    "{%- endif -%}"
    "{%- if message['role'] == 'assistant' -%}{{- '<|end|>' -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def _words() -> list[str]:
    """Every word, with its leading space if it has one, that questions and answers are made of.

    Sorted and without repetition, so that the tokenizer depends on the words alone and not on how
    often, or in which order, dialogues happen to use them.
    """
    rng = random.Random(0)
    sentences = [
        text
        for _ in range(300)
        for turn in sample_dialogue(rng, 10).turns
        for text in (turn.question, turn.answer)
    ]
    names = [*OBJECTS, *CATEGORIES, *CATEGORIES.values(), *BACKGROUNDS, *NUMBERS, *CELL_NAMES]
    sentences += [f" {name} " for name in names] + list(SYSTEM_PROMPTS)
    split = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str
    decode = decoders.ByteLevel().decode
    return sorted({decode([piece]) for text in sentences for piece, _ in split(text)})


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Trains the tokenizer; always the same one.

    Returns:
        Byte-level BPE of `VOCAB_SIZE` entries at most; any text can be encoded and decoded back.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[PAD, END, USER, ASSISTANT, SYSTEM, IMAGE],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=1,
    )
    tokenizer.train_from_iterator(_words(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        extra_special_tokens={
            "user_token": USER,
            "assistant_token": ASSISTANT,
            "system_token": SYSTEM,
            "image_token": IMAGE,
        },
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
    )
