import random
import re

import pytest

from metacompress_compressor.embedded import tokenizer as module
from metacompress_compressor.embedded.tokenizer import build_tokenizer
from metacompress_compressor.scenes import OBJECTS, sample_dialogue


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def test_every_word_of_the_scenes_is_one_token(tokenizer):
    rng = random.Random(1)
    texts = [turn.question for _ in range(50) for turn in sample_dialogue(rng, 10).turns]
    texts += [turn.answer for _ in range(50) for turn in sample_dialogue(rng, 10).turns]
    texts += [f"Is the {name}" for name in OBJECTS]
    for text in texts:
        words = re.findall(r" ?\w+|[.,?]", text)
        assert len(tokenizer.encode(text, add_special_tokens=False)) == len(words)


def test_the_tokenizer_is_the_same_however_dialogues_are_drawn(tokenizer, monkeypatch):
    shuffled = random.Random(7)
    monkeypatch.setattr(module.random, "Random", lambda _: shuffled)
    assert build_tokenizer().get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize("text", ["Hello wörld, 42 \N{FOX FACE}!", "It is a fox.", "  spaces\n\t"])
def test_any_text_survives(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_chat_template_renders_pictures_before_text_in_each_message(tokenizer):
    text = tokenizer.apply_chat_template(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "A?"}, {"type": "image"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "B."}]},
            {"role": "user", "content": "C?"},
        ],
        tokenize=False,
        add_generation_prompt=True,
    )
    expected = "<|system|>Be brief.<|user|><image>A?<|assistant|>B.<|end|><|user|>C?<|assistant|>"
    assert text == expected
