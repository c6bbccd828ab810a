import random

import pytest

from metacompress_compressor.embedded.architecture import NUM_VISUAL_TOKENS, build_processor
from metacompress_compressor.embedded.sequences import IGNORED, SequenceBuilder
from metacompress_compressor.embedded.tokenizer import build_tokenizer
from metacompress_compressor.scenes import draw_scene, sample_dialogue


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def _messages(turns):
    messages = []
    for index, turn in enumerate(turns):
        picture = [] if index else [{"type": "image"}]
        messages += [
            {"role": "user", "content": [*picture, {"type": "text", "text": turn.question}]},
            {"role": "assistant", "content": [{"type": "text", "text": turn.answer}]},
        ]
    return messages


def test_training_sees_exactly_what_the_processor_makes(tokenizer):
    dialogue = sample_dialogue(random.Random(1), 5)
    batch = SequenceBuilder(tokenizer).batch([dialogue.turns])
    processor = build_processor(tokenizer)
    text = processor.apply_chat_template(_messages(dialogue.turns))
    inputs = processor(images=draw_scene(dialogue.scene), text=text, return_tensors="pt")
    assert batch.ids.tolist() == inputs["input_ids"].tolist()
    assert batch.positions.tolist() == [list(range(batch.ids.shape[1]))]


def test_labels_are_the_answers_one_place_early(tokenizer):
    turns = sample_dialogue(random.Random(2), 3).turns
    batch = SequenceBuilder(tokenizer).batch([turns])
    wanted = batch.labels[0] != IGNORED
    answers = "".join(f"{turn.answer}<|end|>" for turn in turns)
    assert tokenizer.decode(batch.labels[0][wanted]) == answers
    assert (batch.ids[0].roll(-1)[wanted] == batch.labels[0][wanted]).all()


def test_chosen_patches_keep_their_positions_and_text_goes_on_behind_the_picture(tokenizer):
    turns = sample_dialogue(random.Random(3), 1).turns
    patches = [[3, 40, 255]]
    batch = SequenceBuilder(tokenizer).batch([turns], patches)
    assert batch.visual_start.tolist() == [1]
    assert batch.positions[0, :5].tolist() == [0, 4, 41, 256, 1 + NUM_VISUAL_TOKENS]
    image = tokenizer.convert_tokens_to_ids("<image>")
    assert (batch.ids == image).sum() == 3


def test_variation_adds_system_prompts_and_gaps_but_keeps_the_answers(tokenizer):
    dialogues = [sample_dialogue(random.Random(seed), 2).turns for seed in range(40)]
    builder = SequenceBuilder(tokenizer)
    plain, varied = builder.batch(dialogues), builder.batch(dialogues, rng=random.Random(0))
    assert (plain.labels != IGNORED).sum() == (varied.labels != IGNORED).sum()
    assert len(set(varied.visual_start.tolist())) > 1
    assert varied.positions.max() > plain.positions.max() + 100
