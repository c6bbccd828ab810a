"""`make demo`: several turns about each of two pictures, with what compression saved per turn."""

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from openai import OpenAI, OpenAIError
from rich import box
from rich.console import Console
from rich.table import Table

from metacompress_compressor.embedded import pictures_dir

from .dialogue import DemoError, PictureDialogue, TurnResult, ask_dialogue, load_dialogues
from .server import is_ready, running_server

NUM_PICTURES = 2
NUM_TURNS = 4
PLAIN_WIDTH = 110  # columns where the output is no terminal
DEFAULT_URL = "http://127.0.0.1:8000"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit status, 0 if every question got an answer."""
    args = _parse_arguments(argv)
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    try:
        dialogues = load_dialogues(args.pictures, NUM_PICTURES, NUM_TURNS)
        with _server(args.url, console) as url:
            results = _hold_dialogues(f"{url}/v1", dialogues, console)
    except (DemoError, OpenAIError) as error:
        console.print(f"[red]The demo failed:[/red] {error}", highlight=False)
        return 1
    console.print(summary_line(results), highlight=False)
    return 0


def _parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m metacompress_server.demo", description=__doc__)
    parser.add_argument(
        "--url",
        help=f"a running server; without it the one at {DEFAULT_URL}, and if there is none, "
        "one that is started and stopped here",
    )
    parser.add_argument(
        "--pictures",
        type=Path,
        default=pictures_dir(),
        help="a folder with dialogues.jsonl and its pictures (default: those in the repository)",
    )
    return parser.parse_args(argv)


@contextlib.contextmanager
def _server(url: str | None, console: Console) -> Iterator[str]:
    if url is None and not is_ready(DEFAULT_URL):
        started = time.monotonic()
        console.print("Starting a server with the embedded model ...")
        with running_server() as own_url:
            console.print(f"Ready after {time.monotonic() - started:.1f} s.", highlight=False)
            yield own_url
        return
    url = (url or DEFAULT_URL).rstrip("/").removesuffix("/v1")
    console.print(f"Using the server at {url}.", highlight=False)
    yield url


def _hold_dialogues(
    base_url: str, dialogues: Sequence[PictureDialogue], console: Console
) -> list[TurnResult]:
    client = OpenAI(base_url=base_url, api_key="none", max_retries=0)
    model = client.models.list().data[0].id
    results: list[TurnResult] = []
    for dialogue in dialogues:
        turns = list(ask_dialogue(client, model, dialogue))
        console.print(dialogue_table(dialogue.picture.name, turns))
        results.extend(turns)
    return results


def dialogue_table(title: str, turns: Sequence[TurnResult]) -> Table:
    """One row per turn: what was asked, answered and right, and what it cost."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("question", "answer", "", "expected"):
        table.add_column(heading)
    for heading in ("visual\ntokens", "kept", "prompt\ntokens", "cached", "first\ntoken"):
        table.add_column(heading, justify="right", no_wrap=True)
    for turn in turns:
        table.add_row(
            turn.question,
            turn.answer,
            "✓" if turn.is_right else "✗",
            turn.expected,
            str(turn.image_tokens_original),
            str(turn.image_tokens),
            str(turn.prompt_tokens),
            "?" if turn.cached_tokens is None else str(turn.cached_tokens),
            f"{turn.ttft_s * 1000:.0f} ms",
        )
    return table


def summary_line(results: Sequence[TurnResult]) -> str:
    """What all turns together came to."""
    right = sum(result.is_right for result in results)
    original = sum(result.image_tokens_original for result in results)
    kept = sum(result.image_tokens for result in results)
    return (
        f"{right} of {len(results)} answers as expected, on {kept} visual tokens instead of "
        f"{original} ({kept / original:.1%})."
    )


if __name__ == "__main__":
    # An exception, unlike the default, lets the own server be stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
