import pytest

from metacompress_compressor.evaluation.consensus import answer_score, normal_answer


@pytest.mark.parametrize(
    ("agreeing", "score"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)]
)
def test_vqa_consensus_of_ten(agreeing, score):
    people = ["yes"] * agreeing + [f"other {number}" for number in range(10 - agreeing)]
    assert answer_score("Yes", "unused", people) == pytest.approx(score)


def test_without_people_only_the_exact_text_counts():
    assert answer_score("a fox", "a fox", ()) == 1
    assert answer_score("fox", "a fox", ()) == 0


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The Fox.", "fox"),
        ("two", "2"),
        ("1,000", "1000"),
        ("2.5", "2.5"),
        ("don't", "dont"),
        ("black/white", "black white"),
        ("none", "0"),
        (" a  man,an apple ", "man apple"),
    ],
)
def test_texts_are_compared_in_one_form(text, normal):
    assert normal_answer(text) == normal
