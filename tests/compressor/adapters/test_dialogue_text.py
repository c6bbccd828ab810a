"""Answers are found where the chat template puts them."""

import pytest
from transformers import AutoProcessor

from metacompress_compressor.adapters import DialogueEncoder, TurnText

TURNS = [TurnText("is it a user?", "a"), TurnText("und sonst, «é»?", "nö, a fox")]


@pytest.fixture(scope="module")
def processor(tiny_llava):
    return AutoProcessor.from_pretrained(tiny_llava)


@pytest.fixture
def encoder(processor):
    return DialogueEncoder(processor, processor.tokenizer.convert_tokens_to_ids("<image>"))


def messages(turns):
    written = []
    for number, turn in enumerate(turns):
        content = [{"type": "text", "text": turn.question}]
        if number == 0:
            content.insert(0, {"type": "image"})
        written.append({"role": "user", "content": content})
        text = {"type": "text", "text": turn.answer}
        written.append({"role": "assistant", "content": [text]})
    return written


def test_tokens_are_those_of_the_rendered_template(processor, encoder):
    rendered = processor.apply_chat_template(messages(TURNS), tokenize=False)
    expected = processor.tokenizer(rendered)["input_ids"]
    (encoded,) = encoder.encode([TURNS])
    assert list(encoded.token_ids) == expected
    assert processor.tokenizer.decode(expected[encoded.image_index]) == "<image>"


def test_answer_tokens_are_content_and_end_token(processor, encoder):
    (encoded,) = encoder.encode([TURNS])
    answers = [
        processor.tokenizer.decode([encoded.token_ids[index] for index in indices])
        for indices in encoded.answer_indices
    ]
    assert answers == ["a<|end|>", "nö, a fox<|end|>"]


def test_answers_start_where_generation_starts(processor, encoder):
    for turn in range(2):
        prompt = processor.apply_chat_template(
            messages(TURNS)[: 2 * turn + 1], tokenize=False, add_generation_prompt=True
        )
        start = len(processor.tokenizer(prompt)["input_ids"])
        assert encoder.encode([TURNS])[0].answer_indices[turn][0] == start


def test_an_end_that_is_no_special_token_is_not_part_of_the_answer(processor, encoder):
    template = "{% for m in messages %}{{ m.role }}: {% for p in m.content %}"
    template += "{% if p.type == 'image' %}<image>\n{% else %}{{ p.text }} {% endif %}"
    template += "{% endfor %}{% endfor %}"
    original = processor.chat_template
    processor.chat_template = template
    try:
        (encoded,) = encoder.encode([TURNS])
    finally:
        processor.chat_template = original
    last = [encoded.token_ids[index] for index in encoded.answer_indices[1]]
    assert processor.tokenizer.decode(last) == "nö, a fox"


def test_text_with_a_placeholder_is_refused(encoder):
    with pytest.raises(ValueError, match="holds the picture's placeholder"):
        encoder.encode([[TurnText("what is <image>?", "no")]])


def test_no_turns_are_refused(encoder):
    with pytest.raises(ValueError, match="at least one turn"):
        encoder.encode([[]])
