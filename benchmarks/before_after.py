"""Two commits of the server under the same load, in blocks that go round both and back.

    python -m benchmarks.before_after --before b866571 --change "what changed between them"

Both serve the embedded model at a tenth; the load is three dialogues at once, about small pictures
(256 x 256 PNG) and about large ones (2048 x 1536 JPEG). Records of benchmark `profile`, ratios of
after to before, are added to benchmarks/results/profile.jsonl.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.records import RESULTS, ROOT, Record, append, provenance
from benchmarks.serving.contestants import MAIN, Contestant, Model, embedded
from benchmarks.serving.dialogues import large
from benchmarks.serving.matrix import Result, Stage

SOURCES = ("server", "compressor", "kernels")
AT_ONCE = 3


def tree(commit: str, folder: Path) -> Path:
    """The files of a commit."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), "archive", commit], capture_output=True, check=True
    )
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", str(folder)], input=done.stdout, check=True)
    return folder


def with_sources(contestant: Contestant, name: str, folder: Path) -> Contestant:
    """The same server, run from other sources."""
    path = ":".join(str(folder / source) for source in SOURCES)
    return replace(contestant, name=name, environment=(("PYTHONPATH", path),))


def cells(model: Model, folder: Path, blocks: int) -> Iterator[Result]:
    """Small and large pictures."""
    for pictures, measured in (("small", model), ("large", _with_large_pictures(model))):
        stage = Stage(measured, folder, lambda line: print(line, file=sys.stderr))
        with stage.servers(("before", "after")):
            both = stage.contestants()
            outcomes = stage.interleaved(both, blocks, 8, 4, at_once=AT_ONCE)
            cell = {"part": pictures, "at_once": AT_ONCE, "turns": 4}
            yield from stage.results(cell, both, outcomes, than="before")


def _with_large_pictures(model: Model) -> Model:
    answers = replace(model.answers, scripted=True, max_tokens=8)
    return replace(model, name="embedded-large", make=large, answers=answers)


def main() -> int:
    """Measure and write. Returns the exit status, 1 where a turn failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", required=True, help="a commit")
    parser.add_argument("--after", default="HEAD", help="a commit (default HEAD)")
    parser.add_argument("--change", required=True, help="what the later one does better")
    parser.add_argument("--blocks", type=int, default=8)
    arguments = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = embedded(folder)
        (main_one,) = (one for one in model.contestants if one.name == MAIN)
        both = tuple(
            with_sources(main_one, name, tree(commit, folder / name))
            for name, commit in (("before", arguments.before), ("after", arguments.after))
        )
        for result in cells(replace(model, contestants=both), folder, arguments.blocks):
            cell = {**result.cell, "change": arguments.change, "before": arguments.before}
            origin = provenance(torch.device("cpu"), result.contestant.flags)
            append(RESULTS / "profile.jsonl", Record("profile", cell, result.metrics, origin))
            failed |= bool(result.metrics["failures"])
    return int(failed)


if __name__ == "__main__":
    # An exception, unlike the default, lets the servers be stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
