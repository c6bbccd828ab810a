import random
from collections import Counter, defaultdict

import pytest

from metacompress_compressor.scenes import KINDS, OBJECTS, Turn, sample_dialogue
from metacompress_compressor.scenes.layout import CELL_NAMES, DIRECTIONS, Placement, Scene
from metacompress_compressor.scenes.questions import NUMBERS

# . fox   owl
# . car   .
# . .     pizza (big)
BOARD_SCENE = Scene(
    "blue",
    0,
    (
        Placement("fox", 1, False, 90, 0, 44, False),
        Placement("owl", 2, False, 180, 0, 44, False),
        Placement("car", 4, False, 90, 90, 44, False),
        Placement("pizza", 8, True, 175, 175, 80, False),
    ),
)


def _right_answers(scene: Scene) -> dict[str, str]:
    """Every question that has an answer here, worked out independently of the askers."""
    answers = {}
    for cell, name in enumerate(CELL_NAMES):
        item = scene.at(cell)
        answer = f"At the {name} is {OBJECTS[item.name].with_article if item else 'nothing'}."
        answers[f"What is at the {name}?"] = answers[f"What do you see at the {name}?"] = answer
    for name, kind in OBJECTS.items():
        present = any(item.name == name for item in scene.objects)
        full = f"Yes, there is {kind.with_article}." if present else f"No, there is no {name}."
        answers[f"Is there {kind.with_article}?"] = full
        answers[f"Do you see {kind.with_article}?"] = full
    answers |= {
        "Where is the owl?": "The owl is at the top right.",
        "Where do you see the owl?": "The owl is at the top right.",
        "How many objects are there?": "There are four objects.",
        "How many animals are there?": "There are two animals.",
        "How many foods do you see?": "There is one food.",
        "How many tools are there?": "There are no tools.",
        "What is below the fox?": "The fox is at the top, and below it is a car.",
        "What is to the left of the owl?": (
            "The owl is at the top right, and to the left of it is a fox."
        ),
        "What is above the fox?": "The fox is at the top, and above it is nothing.",
        "Is the pizza bigger than the fox?": "The pizza is big and the fox is small, so yes.",
        "Is the pizza smaller than the fox?": "The pizza is big and the fox is small, so no.",
        "Is the car big or small?": "The car is small.",
        "Is the pizza big or small?": "The pizza is big.",
        "What color is the background?": "The background is blue.",
    }
    return answers


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "follow_up"])
def test_answers_are_right(kind):
    rng = random.Random(1)
    expected = _right_answers(BOARD_SCENE)
    turns = [KINDS[kind](BOARD_SCENE, rng, None) for _ in range(200)]
    checked = [turn for turn in turns if turn.question in expected]
    assert len(checked) >= 5
    for turn in checked:
        assert turn.kind == kind
        assert turn.answer == expected[turn.question]


def test_follow_up_needs_a_referent_and_speaks_of_it():
    rng = random.Random(2)
    ask = KINDS["follow_up"]
    assert ask(BOARD_SCENE, rng, None) is None
    answers = {turn.question: turn for turn in (ask(BOARD_SCENE, rng, "fox") for _ in range(200))}
    assert (
        answers["And what is below it?"].answer == "The fox is at the top, and below it is a car."
    )
    assert answers["And what is below it?"].referent == "car"
    assert (
        answers["And what is to the left of it?"].answer
        == "The fox is at the top, and to the left of it is nothing."
    )
    assert answers["And what is to the left of it?"].referent is None
    assert answers["And where is it?"].answer == "The fox is at the top."
    assert answers["Is it big or small?"].answer == "The fox is small."
    assert len(answers) == 2 + len(DIRECTIONS)


def test_compare_needs_two_sizes():
    alike = Scene("red", 0, BOARD_SCENE.objects[:3])
    assert KINDS["compare"](alike, random.Random(0), None) is None


def test_the_most_common_answer_is_a_bad_guess():
    rng = random.Random(3)
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for _ in range(400):
        for turn in sample_dialogue(rng, 10).turns:
            answers[turn.kind][_told(turn)] += 1
    shares = {kind: max(c.values()) / c.total() for kind, c in answers.items()}
    assert set(shares) == set(KINDS)
    assert all(shares[kind] < 0.56 for kind in ("exists", "compare", "size"))
    assert all(
        share < 0.32 for kind, share in shares.items() if kind not in ("exists", "compare", "size")
    )


def _told(turn: Turn) -> str:
    """What an answer tells, without the words that the question gives away."""
    if turn.kind == "exists":
        return turn.answer.split(",")[0]
    if turn.kind == "compare":
        return turn.answer.split()[-1]
    return turn.answer.rsplit(" is ", 1)[-1]


def test_number_words_count_from_zero():
    assert NUMBERS.index("three") == 3
