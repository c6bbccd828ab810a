"""VQA v2's question and annotation files to dialogues, all ten answers kept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .drafts import ConversionError, Draft, LeftOut, in_dialogues
from .json_files import field, read_json


def convert(
    questions: Path, annotations: Path, turns: int, *, keep_remainder: bool
) -> Iterator[Draft | LeftOut]:
    """Questions of a split, grouped by picture in the file's order and cut into dialogues.

    A turn's `answer` is the most common one of its ten; all ten are its `answers`.

    Args:
        questions: `v2_OpenEnded_mscoco_<split>_questions.json`. Pictures are named
            `COCO_<split>_<twelve digits>.jpg`, or `<twelve digits>.jpg`.
        annotations: `v2_mscoco_<split>_annotations.json` of the same split.
        turns: of a dialogue.
        keep_remainder: whether a picture's last questions may make a shorter dialogue.

    Raises:
        ConversionError: other files, or files of two splits.
    """
    asked = read_json(questions, dict, "VQA v2 question file")
    answered = read_json(annotations, dict, "VQA v2 annotation file")
    split = field(asked, "data_subtype", str, str(questions))
    other = field(answered, "data_subtype", str, str(annotations))
    if split != other:
        raise ConversionError(f"{questions} is of {split}, but {annotations} of {other}")
    answers = {
        field(entry, "question_id", int, f"{annotations}: annotation {number}"): entry
        for number, entry in enumerate(field(answered, "annotations", list, str(annotations)))
    }
    turns_of: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for number, entry in enumerate(field(asked, "questions", list, str(questions))):
        where = f"{questions}: question {number}"
        annotation = answers.get(field(entry, "question_id", int, where))
        if annotation is None:
            yield LeftOut(f"no annotation in {annotations.name}", where)
            continue
        digits = f"{field(entry, 'image_id', int, where):012d}.jpg"
        pictures = (f"COCO_{split}_{digits}", digits)
        turns_of.setdefault(pictures, []).append(_turn(entry, annotation, where))
    yield from in_dialogues(turns_of, turns, keep_remainder=keep_remainder, source=str(questions))


def _turn(entry: Any, annotation: Any, where: str) -> dict[str, Any]:
    where_answered = f"annotation of {where}"
    given = field(annotation, "answers", list, where_answered)
    return {
        "question": field(entry, "question", str, where),
        "answer": field(annotation, "multiple_choice_answer", str, where_answered),
        "kind": field(annotation, "answer_type", str, where_answered),
        "answers": [field(one, "answer", str, where_answered) for one in given],
    }
