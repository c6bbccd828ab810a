"""Reads dialogue files: one JSON object per line, pictures beside the file.

    {"image": "000001.png", "turns": [{"question": "...", "answer": "...", "kind": "..."}, ...]}

`image` is a path relative to the file's folder. `kind` may be left out, and so may `answers`: what
several people answered, for scores by consensus. A line that cannot be used is reported with file
and line, counted, and left out; it is never dropped in silence.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metacompress_compressor.adapters import TurnText

DIALOGUES_FILE = "dialogues.jsonl"


class DataError(ValueError):
    """No usable dialogue at all. The message is one line."""


@dataclass(frozen=True)
class Turn(TurnText):
    """A question, its answer, the kind that accuracy is reported by, and all people's answers."""

    kind: str = ""
    answers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dialogue:
    """Turns about one picture, and the line that they came from."""

    image: Path
    turns: tuple[Turn, ...]
    source: str


@dataclass(frozen=True)
class DialogueSet:
    """What was read: the usable dialogues, and one line of text for each unusable one."""

    dialogues: tuple[Dialogue, ...]
    problems: tuple[str, ...]

    @property
    def images(self) -> tuple[Path, ...]:
        """Every picture once, in the order of first use."""
        return tuple(dict.fromkeys(dialogue.image for dialogue in self.dialogues))


def read_dialogues(files: Sequence[Path | str]) -> DialogueSet:
    """Read dialogue files, or folders that hold a `dialogues.jsonl`.

    Raises:
        DataError: a file that cannot be opened, or not one usable dialogue in all of them.
    """
    dialogues: list[Dialogue] = []
    problems: list[str] = []
    for file in map(_dialogue_file, files):
        for number, line in enumerate(_lines(file), start=1):
            source = f"{file}:{number}"
            try:
                dialogues.append(_parse(line, file.parent, source))
            except ValueError as error:
                problems.append(f"{source}: {error}")
    if not dialogues:
        example = f"; the first problem: {problems[0]}" if problems else ""
        raise DataError(f"no usable dialogue in {', '.join(map(str, files)) or 'no file'}{example}")
    return DialogueSet(tuple(dialogues), tuple(problems))


def data_digest(dialogues: Iterable[Dialogue]) -> str:
    """SHA-256 over what training sees: every dialogue's texts and every picture's bytes."""
    digest = hashlib.sha256()
    picture_digests: dict[Path, str] = {}
    for dialogue in dialogues:
        if dialogue.image not in picture_digests:
            picture_digests[dialogue.image] = hashlib.sha256(
                dialogue.image.read_bytes()
            ).hexdigest()
        texts = [[turn.question, turn.answer] for turn in dialogue.turns]
        digest.update(json.dumps([picture_digests[dialogue.image], texts]).encode())
    return digest.hexdigest()


def _dialogue_file(path: Path | str) -> Path:
    path = Path(path)
    return path / DIALOGUES_FILE if path.is_dir() else path


def _lines(file: Path) -> list[bytes]:
    try:
        return file.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from error


def _parse(line: bytes, folder: Path, source: str) -> Dialogue:
    raw = json.loads(line)
    if not isinstance(raw, dict):
        raise ValueError("not a JSON object")
    image = raw.get("image")
    if not isinstance(image, str) or not image:
        raise ValueError(f"image is {image!r}, not a path")
    turns = raw.get("turns")
    if not isinstance(turns, list) or not turns:
        raise ValueError("turns is not a list of at least one turn")
    path = folder / image
    if not path.is_file():
        raise ValueError(f"there is no picture {path}")
    parsed = tuple(_parse_turn(turn, number) for number, turn in enumerate(turns, start=1))
    return Dialogue(path, parsed, source)


def _parse_turn(raw: Any, number: int) -> Turn:
    if not isinstance(raw, dict):
        raise ValueError(f"turn {number} is not a JSON object")
    kind = raw.get("kind", "")
    if not isinstance(kind, str):
        raise ValueError(f"turn {number}: kind is {kind!r}, not text")
    answers = raw.get("answers", [])
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise ValueError(f"turn {number}: answers is {answers!r}, not a list of texts")
    question, answer = _text(raw, "question", number), _text(raw, "answer", number)
    return Turn(question, answer, kind, tuple(answers))


def _text(raw: dict[str, Any], name: str, number: int) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"turn {number}: {name} is {value!r}, not text")
    return value.strip()
