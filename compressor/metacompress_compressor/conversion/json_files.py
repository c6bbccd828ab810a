"""Reads the JSON files of data sets: every complaint names the file, the entry and the field."""

import json
from pathlib import Path
from typing import Any, TypeVar

from .drafts import ConversionError

T = TypeVar("T")


def read_json(path: Path, kind: type[T], what: str) -> T:
    """The content of a file.

    Args:
        path: of the file.
        kind: list or dict, whichever the file's outermost value must be.
        what: the file that was expected, for the message.

    Raises:
        ConversionError: unreadable, not JSON, or another outermost value.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ConversionError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConversionError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, kind):
        found = type(content).__name__
        raise ConversionError(f"{path} is no {what}: it holds a {found}, not a {kind.__name__}")
    return content


def field(entry: Any, name: str, kind: type[T], where: str) -> T:
    """One field of an entry.

    Args:
        entry: what should be an object.
        name: of the field.
        kind: its type; an `int` may not be a truth value.
        where: file and entry, for the message.

    Raises:
        ConversionError: no such field, or one of another type.
    """
    if not isinstance(entry, dict):
        raise ConversionError(f"{where} is not an object but {_short(entry)}")
    if name not in entry:
        raise ConversionError(f"{where} has no {name!r}")
    value = entry[name]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConversionError(f"{where}: {name!r} is {_short(value)}, not a {kind.__name__}")
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
