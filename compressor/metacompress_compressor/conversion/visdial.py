"""Visual Dialog v1.0 files (`visdial_1.0_train.json`, `visdial_1.0_val.json`) to dialogues."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .drafts import ConversionError, Draft, LeftOut
from .json_files import field, read_json


def convert(dialogs: Path) -> Iterator[Draft | LeftOut]:
    """The ten rounds about each picture; rounds without an answer end their dialogue.

    Questions are published without their question mark: it is put back. The caption that the askers
    had read is not part of a dialogue.

    Args:
        dialogs: an object with `split` and `data`, whose questions and answers are numbers into two
            lists. Pictures are named `VisualDialog_<split>_<twelve digits>.jpg`, or like COCO's
            train2014 and val2014, which the training split uses.

    Raises:
        ConversionError: another file.
    """
    content = read_json(dialogs, dict, "Visual Dialog file")
    split = field(content, "split", str, str(dialogs))
    data = field(content, "data", dict, str(dialogs))
    questions = field(data, "questions", list, f"{dialogs}: data")
    answers = field(data, "answers", list, f"{dialogs}: data")
    for number, entry in enumerate(field(data, "dialogs", list, f"{dialogs}: data")):
        where = f"{dialogs}: dialog {number}"
        digits = f"{field(entry, 'image_id', int, where):012d}.jpg"
        names = (f"VisualDialog_{split}", "COCO_train2014", "COCO_val2014")
        turns = tuple(_turns(field(entry, "dialog", list, where), questions, answers, where))
        if turns:
            yield Draft(tuple(f"{name}_{digits}" for name in names), turns, where)
        else:
            yield LeftOut("no answered round", where)


def _turns(
    rounds: list[Any], questions: list[Any], answers: list[Any], where: str
) -> Iterator[dict[str, Any]]:
    for one in rounds:
        if not isinstance(one, dict) or "question" not in one or "answer" not in one:
            return
        question = _text(questions, field(one, "question", int, where), "question", where)
        answer = _text(answers, field(one, "answer", int, where), "answer", where)
        yield {"question": f"{question.rstrip('? ')}?", "answer": answer}


def _text(texts: list[Any], number: int, what: str, where: str) -> str:
    if not 0 <= number < len(texts) or not isinstance(texts[number], str):
        raise ConversionError(f"{where}: there is no {what} number {number}")
    text: str = texts[number].strip()
    return text
