"""`metacompress convert`: published data sets to dialogue files, errors as one line."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from . import easy_vqa, gqa, llava, visdial, vqav2
from .drafts import ConversionError, Draft, LeftOut
from .writing import Summary, write_dialogues

_SHOWN = 10

_Entries = Iterator[Draft | LeftOut]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the formats of `metacompress convert` to `parser`, each with its files and options."""
    formats = parser.add_subparsers(dest="format", required=True, metavar="FORMAT")
    one = _add(formats, "gqa", "GQA: questions.json of a split with answers", _gqa)
    one.add_argument("questions", type=Path, help="for example testdev_balanced_questions.json")
    _add_grouping(one)
    one = _add(formats, "vqav2", "VQA v2: questions and annotations of a split", _vqav2)
    one.add_argument("questions", type=Path, help="v2_OpenEnded_mscoco_..._questions.json")
    one.add_argument("annotations", type=Path, help="v2_mscoco_..._annotations.json")
    _add_grouping(one)
    one = _add(formats, "llava", "LLaVA's instruction JSON", _llava)
    one.add_argument("instructions", type=Path, help="for example llava_instruct_150k.json")
    one = _add(formats, "visdial", "Visual Dialog v1.0", _visdial)
    one.add_argument("dialogs", type=Path, help="visdial_1.0_train.json or visdial_1.0_val.json")
    one = _add(formats, "easy-vqa", "the easy-VQA package", _easy_vqa)
    one.add_argument("questions", type=Path, help="easy_vqa/data/test/questions.json")
    _add_grouping(one)


def run(args: argparse.Namespace) -> int:
    """Convert as `args` say. The last line on standard output is a summary as JSON.

    Returns:
        0, or 2 where a file is not what the format reads or nothing can be converted.
    """
    console = Console(stderr=True)
    try:
        summary = _convert(args, console)
    except ConversionError as error:
        print(f"metacompress convert: {error}", file=sys.stderr)
        return 2
    print(
        json.dumps(
            {
                "out": str(args.out),
                "dialogues": summary.dialogues,
                "turns": summary.turns,
                "left_out": dict(summary.left_out),
            }
        )
    )
    return 0


def _convert(args: argparse.Namespace, console: Console) -> Summary:
    shown = 0

    def show(left_out: LeftOut) -> None:
        nonlocal shown
        shown += 1
        if shown <= _SHOWN:
            text = f"left out: {left_out.source}: {left_out.reason}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"reading {args.format}", total=None)

        def counted(entries: _Entries) -> _Entries:
            for number, entry in enumerate(entries, start=1):
                if number % 500 == 0:
                    progress.update(task, description=f"{number} dialogues")
                yield entry

        return write_dialogues(
            counted(args.convert(args)),
            args.images,
            args.out,
            instruction=args.instruction,
            on_left_out=show,
        )


def _gqa(args: argparse.Namespace) -> _Entries:
    return gqa.convert(args.questions, args.turns, keep_remainder=args.keep_remainder)


def _vqav2(args: argparse.Namespace) -> _Entries:
    return vqav2.convert(
        args.questions, args.annotations, args.turns, keep_remainder=args.keep_remainder
    )


def _llava(args: argparse.Namespace) -> _Entries:
    return llava.convert(args.instructions)


def _visdial(args: argparse.Namespace) -> _Entries:
    return visdial.convert(args.dialogs)


def _easy_vqa(args: argparse.Namespace) -> _Entries:
    return easy_vqa.convert(args.questions, args.turns, keep_remainder=args.keep_remainder)


def _add(
    formats: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    purpose: str,
    convert: Callable[[argparse.Namespace], _Entries],
) -> argparse.ArgumentParser:
    """One format, with the options that all have."""
    parser = formats.add_parser(name, help=purpose, description=purpose)
    parser.set_defaults(convert=convert)
    parser.add_argument("--images", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--out", type=Path, required=True, help="the dialogue file to write")
    parser.add_argument(
        "--instruction",
        default="",
        metavar="TEXT",
        help="put behind every question, on a line of its own, for example 'Answer the question "
        "using a single word or phrase.'",
    )
    return parser


def _add_grouping(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--turns",
        type=_positive,
        default=3,
        help="questions about one picture in a dialogue, in the file's order (default: 3)",
    )
    parser.add_argument(
        "--keep-remainder",
        action="store_true",
        help="make a shorter dialogue of a picture's last questions instead of leaving them out",
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value
