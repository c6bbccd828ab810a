import itertools
import random

import pytest

from metacompress_compressor.scenes import KINDS, sample_dialogue, sample_scene


def test_same_seed_same_dialogue_and_the_first_turn_refers_to_nothing():
    for seed in range(100):
        dialogue = sample_dialogue(random.Random(seed), 5)
        assert dialogue == sample_dialogue(random.Random(seed), 5)
        assert len(dialogue.turns) == 5
        assert dialogue.turns[0].kind != "follow_up"


def test_follow_ups_follow_a_turn_with_a_referent_and_tell_something_new():
    rng = random.Random(4)
    for _ in range(300):
        turns = sample_dialogue(rng, 5).turns
        for before, turn in itertools.pairwise(turns):
            if turn.kind == "follow_up":
                assert before.referent is not None
                assert (turn.answer, turn.referent) != (before.answer, before.referent)


def test_later_turns_use_every_kind():
    rng = random.Random(5)
    last = {sample_dialogue(rng, 5).turns[-1].kind for _ in range(300)}
    assert last == set(KINDS)


def test_chosen_kinds_and_scene_are_obeyed():
    scene = sample_scene(random.Random(6))
    dialogue = sample_dialogue(random.Random(7), 4, scene, kinds=["where"])
    assert dialogue.scene == scene
    assert {turn.kind for turn in dialogue.turns} == {"where"}


def test_bad_requests_are_named():
    with pytest.raises(ValueError, match="num_turns must be at least 1, got 0"):
        sample_dialogue(random.Random(0), 0)
    with pytest.raises(ValueError, match="none of the kinds"):
        sample_dialogue(random.Random(0), 1, kinds=["follow_up"])
    with pytest.raises(KeyError, match="riddle"):
        sample_dialogue(random.Random(0), 1, kinds=["riddle"])
