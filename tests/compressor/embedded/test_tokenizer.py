import pytest

from metacompress_compressor.embedded.tokenizer import build_tokenizer
from metacompress_compressor.scenes import OBJECTS


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def test_every_object_is_one_token(tokenizer):
    ids = [tokenizer.encode(f" {name}", add_special_tokens=False) for name in OBJECTS]
    assert all(len(row) == 1 for row in ids)
    assert len({row[0] for row in ids}) == len(OBJECTS)


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
