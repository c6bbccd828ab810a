"""GQA's question files to dialogues: MT-GQA is testdev-balanced in threes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .drafts import ConversionError, Draft, LeftOut, in_dialogues
from .json_files import field, read_json


def convert(questions: Path, turns: int, *, keep_remainder: bool) -> Iterator[Draft | LeftOut]:
    """Questions of a split, grouped by picture in the file's order and cut into dialogues.

    Args:
        questions: `testdev_balanced_questions.json`, `train_balanced_questions.json` or alike: one
            object from question id to question. Pictures are named `<imageId>.jpg`.
        turns: of a dialogue.
        keep_remainder: whether a picture's last questions may make a shorter dialogue.

    Raises:
        ConversionError: another file, or one of a split without answers.
    """
    turns_of: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for number, entry in read_json(questions, dict, "GQA question file").items():
        where = f"{questions}: question {number}"
        picture = f"{field(entry, 'imageId', str, where)}.jpg"
        turns_of.setdefault((picture,), []).append(_turn(entry, where))
    yield from in_dialogues(turns_of, turns, keep_remainder=keep_remainder, source=str(questions))


def _turn(entry: dict[str, Any], where: str) -> dict[str, Any]:
    if "answer" not in entry:
        raise ConversionError(f"{where} has no answer: this split's answers are not published")
    turn = {
        "question": field(entry, "question", str, where),
        "answer": field(entry, "answer", str, where),
    }
    if "types" in entry:
        turn["kind"] = field(field(entry, "types", dict, where), "structural", str, where)
    return turn
