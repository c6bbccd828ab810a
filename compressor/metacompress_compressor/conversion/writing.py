"""Writes converted dialogues: pictures looked up, everything that is left out counted."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from .drafts import ConversionError, Draft, LeftOut


@dataclass
class Summary:
    """What became of a data set. `left_out`: reason -> questions or dialogues."""

    dialogues: int = 0
    turns: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def write_dialogues(
    entries: Iterable[Draft | LeftOut],
    images: Path,
    out: Path,
    *,
    instruction: str,
    on_left_out: Callable[[LeftOut], None],
) -> Summary:
    """Write a dialogue file.

    Args:
        entries: what a converter gives.
        images: folder of the pictures.
        out: the file to write; pictures are named relative to its folder. It appears when it is
            complete.
        instruction: put behind every question, on a line of its own; empty for none.
        on_left_out: called with everything that is left out.

    Raises:
        ConversionError: `out` is there already, `images` is no folder, or nothing can be converted.
    """
    if out.exists():
        raise ConversionError(f"{out} exists already")
    if not images.is_dir():
        raise ConversionError(f"there is no folder of pictures {images}")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f"{out.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            summary = _write_all(entries, images, out.parent, instruction, on_left_out, stream)
        partial.rename(out)
    finally:
        partial.unlink(missing_ok=True)
    return summary


def _write_all(
    entries: Iterable[Draft | LeftOut],
    images: Path,
    folder: Path,
    instruction: str,
    on_left_out: Callable[[LeftOut], None],
    stream: TextIO,
) -> Summary:
    summary = Summary()
    problem = "no entry"
    for entry in entries:
        line = _line(entry, images, folder, instruction)
        if isinstance(line, LeftOut):
            if not summary.left_out:
                problem = f"{line.source}: {line.reason}"
            summary.left_out[line.reason] += line.count
            on_left_out(line)
            continue
        stream.write(json.dumps(line, ensure_ascii=False) + "\n")
        summary.dialogues += 1
        summary.turns += len(line["turns"])
    if not summary.dialogues:
        raise ConversionError(f"nothing to convert; the first problem: {problem}")
    return summary


def _line(
    entry: Draft | LeftOut, images: Path, folder: Path, instruction: str
) -> dict[str, Any] | LeftOut:
    if isinstance(entry, LeftOut):
        return entry
    found = [images / name for name in entry.pictures if (images / name).is_file()]
    if not found:
        return LeftOut("no picture", f"{entry.source}: there is no {images / entry.pictures[0]}")
    turns = entry.turns
    if instruction:
        turns = tuple({**turn, "question": f"{turn['question']}\n{instruction}"} for turn in turns)
    return {"image": os.path.relpath(found[0], folder), "turns": list(turns)}
