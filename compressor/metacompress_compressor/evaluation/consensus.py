"""Scores a free answer against what people said: VQA's consensus, or the one right text.

The VQA rule: an answer is worth a third for each person who gave it, at most one, averaged over
leaving each of them out in turn. Texts are compared in lower case, without articles, apostrophes
and punctuation, with number words up to ten as digits. The official script has a list of
contractions where this drops apostrophes; the outcome differs only for words that are not one.

Source: Antol et al., arXiv 1505.00468, and the evaluation rules at visualqa.org.
"""

import re
from collections.abc import Sequence

_ARTICLES = {"a", "an", "the"}
_NUMBERS = ["none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_DIGIT_OF = {**{word: str(number) for number, word in enumerate(_NUMBERS)}, "zero": "0"}
_DECIMAL_POINT = re.compile(r"(?<!\d)\.|\.(?!\d)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d)")
_APART = re.compile(r"""[;/\[\]"{}()=+\\_\-><@`,?!:]""")


def answer_score(given: str, right: str, people: Sequence[str]) -> float:
    """What an answer is worth, from 0 to 1.

    Args:
        given: the answer.
        right: the one right answer, which counts where `people` is empty: exactly it.
        people: several people's answers.
    """
    if not people:
        return float(given.strip() == right)
    said = normal_answer(given)
    agrees = [normal_answer(answer) == said for answer in people]
    return sum(min(1.0, (sum(agrees) - one) / 3) for one in agrees) / len(agrees)


def normal_answer(text: str) -> str:
    """An answer as it is compared."""
    text = _THOUSANDS.sub("", text.lower().replace("'", ""))
    words = _APART.sub(" ", _DECIMAL_POINT.sub("", text)).split()
    return " ".join(_DIGIT_OF.get(word, word) for word in words if word not in _ARTICLES)
