"""Writes pictures and dialogues: `python -m metacompress_compressor.scenes --help`."""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from PIL import Image
from rich.progress import track

from .catalogue import OBJECTS
from .dialogue import Dialogue, sample_dialogue
from .draw import draw_scene
from .emoji_font import DEBIAN_FONT, FontError, emoji_tile


def dialogue_record(image_name: str, dialogue: Dialogue) -> str:
    """One line of `dialogues.jsonl`."""
    turns = [
        {"question": turn.question, "answer": turn.answer, "kind": turn.kind}
        for turn in dialogue.turns
    ]
    return json.dumps({"image": image_name, "turns": turns}, ensure_ascii=False)


def write_dialogues(
    out: Path, seed: int, count: int, num_turns: int, font: Path | None = None
) -> None:
    """Writes `count` PNGs and `dialogues.jsonl` into a folder.

    Dialogue i depends on `seed` and i alone, so a longer set begins with the shorter one, and the
    same dialogues can be had in another drawing style.

    Raises:
        FontError: The font cannot draw the objects; nothing is written.
        FileExistsError: The folder already holds dialogues; nothing is overwritten.
    """
    if font is not None:
        for name in OBJECTS:
            emoji_tile(font, name)
    out.mkdir(parents=True, exist_ok=True)
    with (out / "dialogues.jsonl").open("x", encoding="utf-8") as stream:
        for index in track(range(count), description="Drawing scenes"):
            dialogue = sample_dialogue(random.Random(f"{seed}/{index}"), num_turns)
            name = f"{index:06d}.png"
            Image.fromarray(draw_scene(dialogue.scene, font)).save(out / name)
            stream.write(dialogue_record(name, dialogue) + "\n")


def _font(style: str, font: Path | None) -> Path | None:
    """The font to draw with. Raises FontError for a font that the style would not use."""
    if style == "noto":
        return font or DEBIAN_FONT
    if font is not None:
        raise FontError("--font is for --style noto")
    return None


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m metacompress_compressor.scenes",
        description="Writes PNG pictures of emoji scenes and dialogues.jsonl with exact answers.",
        epilog="Example: --seed 1 --count 100 --out scenes/ (about 100 pictures per second)",
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same files (default 0)")
    parser.add_argument("--count", type=_positive, default=100, help="pictures (default 100)")
    parser.add_argument("--turns", type=_positive, default=5, help="turns each (default 5)")
    parser.add_argument(
        "--style",
        choices=("fluent", "noto"),
        default="fluent",
        help="drawing style: the vendored Fluent Emoji, or Noto Color Emoji out of its font, for "
        "testing what transfers to pictures never trained on (default fluent)",
    )
    parser.add_argument(
        "--font",
        type=Path,
        help="NotoColorEmoji.ttf with colour bitmaps, for --style noto (default: where Debian's "
        "package fonts-noto-color-emoji puts it)",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder, made if missing")
    arguments = parser.parse_args()
    try:
        write_dialogues(
            arguments.out,
            arguments.seed,
            arguments.count,
            arguments.turns,
            _font(arguments.style, arguments.font),
        )
    except FontError as error:
        parser.error(str(error))
    except FileExistsError as error:
        parser.error(f"{error.filename} exists already: choose another --out")


if __name__ == "__main__":
    main()
