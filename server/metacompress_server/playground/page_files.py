"""The files of the playground's page: read once, served with headers that let nothing else in."""

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metacompress_compressor.embedded import pictures_dir

INDEX = "index.html"
SAMPLES = "samples.json"

HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
"""The page runs its own scripts, talks to its own server, and is shown in no other page."""

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
}


@dataclass(frozen=True)
class PageFile:
    """One file, the same for everybody."""

    content: bytes
    media_type: str


@functools.cache
def page_files() -> dict[str, PageFile]:
    """Every file of the page and every sample picture, by name. No other name is looked up."""
    paths = [*(Path(__file__).parent / "page").iterdir(), *pictures_dir().glob("*.png")]
    files = {path.name: PageFile(path.read_bytes(), _TYPES[path.suffix]) for path in paths}
    samples = json.dumps(list(_samples())).encode()
    return {**files, SAMPLES: PageFile(samples, _TYPES[".json"])}


def _samples() -> Iterator[dict[str, Any]]:
    """Each sample picture, with questions that make sense about it."""
    lines = (pictures_dir() / "dialogues.jsonl").read_text(encoding="utf-8").splitlines()
    for dialogue in map(json.loads, lines):
        questions = [turn["question"] for turn in dialogue["turns"]]
        yield {"picture": dialogue["image"], "questions": questions}
