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


def _corpus() -> list[str]:
    """Sentences of the scenes, and every word that a sentence may hold, each many times."""
    rng = random.Random(0)
    sentences = [
        text
        for _ in range(300)
        for turn in sample_dialogue(rng, 10).turns
        for text in (turn.question, turn.answer)
    ]
    words = [*OBJECTS, *CATEGORIES, *CATEGORIES.values(), *BACKGROUNDS, *NUMBERS]
    words += [word for cell in CELL_NAMES for word in cell.split()]
    return sentences + [f"the {word}." for word in words for _ in range(20)]


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
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
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
