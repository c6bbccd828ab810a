"""The easy-VQA package's questions about one coloured shape to dialogues."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .drafts import ConversionError, Draft, LeftOut, in_dialogues
from .json_files import read_json


def convert(questions: Path, turns: int, *, keep_remainder: bool) -> Iterator[Draft | LeftOut]:
    """Questions of a half, grouped by picture in the file's order and cut into dialogues.

    The kind of a question is `yes/no` or `other`: three in four are yes/no, so accuracy has to be
    told apart.

    Args:
        questions: `easy_vqa/data/<half>/questions.json` of the installed package `easy-vqa`: a list
            of `[question, answer, picture number]`. Pictures are named `<number>.png`.
        turns: of a dialogue.
        keep_remainder: whether a picture's last questions may make a shorter dialogue.

    Raises:
        ConversionError: another file.
    """
    turns_of: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for number, entry in enumerate(read_json(questions, list, "easy-VQA question file")):
        if not isinstance(entry, list) or [type(value) for value in entry] != [str, str, int]:
            raise ConversionError(
                f"{questions}: question {number} is not [question, answer, picture number]"
            )
        question, answer, picture = entry
        kind = "yes/no" if answer in ("yes", "no") else "other"
        turn = {"question": question, "answer": answer, "kind": kind}
        turns_of.setdefault((f"{picture}.png",), []).append(turn)
    yield from in_dialogues(turns_of, turns, keep_remainder=keep_remainder, source=str(questions))
