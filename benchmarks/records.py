"""The one shape of a benchmark's result: a JSON object per line of `benchmarks/results/*.jsonl`.

    {"benchmark": "serving",                     which script measured
     "cell": {"model": "random-576", ...},       what was set: a cell of its matrix
     "metrics": {"ttft_s": {"p50": 0.1}, ...},   what came out, SI units in the names
     "provenance": {"hardware": {...}, "versions": {...}, "commit": "...",
                    "flags": [...], "command": "...", "when": "2026-11-22T21:00:00+00:00"}}

A metric is a number, null where it is not defined, or an object or list of metrics; an estimate
with its 95 % interval is `{"value": 1.2, "ci95": [1.1, 1.3]}`. Numbers are finite.
"""

import json
import math
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from metacompress_compressor.evaluation import provenance as _provenance

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results"

_MEASURED = ("server", "compressor", "kernels", "benchmarks")
_KEYS = {"benchmark", "cell", "metrics", "provenance"}
_ORIGIN = {"hardware", "versions", "commit", "flags", "command", "when"}
_LIBRARIES = ("vllm", "triton", "openai", "httpx")


class RecordError(ValueError):
    """A line that is no record. The message is one line that says where and why."""


@dataclass(frozen=True)
class Record:
    """One cell of one benchmark. See the module's description."""

    benchmark: str
    cell: Mapping[str, Any]
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]

    def line(self) -> str:
        """As JSON.

        Raises:
            RecordError: a number that is not finite, or keys that are missing.
        """
        found = asdict(self)
        _check(found, self.benchmark)
        return json.dumps(found)


def provenance(
    device: torch.device, flags: Sequence[str] = (), command: str | None = None
) -> dict[str, Any]:
    """Where a measurement that is made now comes from.

    Args:
        device: that computes.
        flags: of the server under test, without the paths of this machine.
        command: that repeats the measurement; None for this process's own.
    """
    return {
        "hardware": _provenance.hardware(device),
        "versions": {**_provenance.versions(), **_found(_LIBRARIES)},
        "commit": commit(),
        "flags": list(flags),
        "command": command or own_command(),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def own_command() -> str:
    """This process as somebody would type it in the repository."""
    module = getattr(sys.modules.get("__main__"), "__spec__", None)
    name = f"-m {module.name.removesuffix('.__main__')}" if module else Path(sys.argv[0]).name
    return " ".join(["python", name, *sys.argv[1:]])


def commit() -> str | None:
    """The checked-out commit, `+changes` if measured files differ from it; None outside git."""
    head = _git("rev-parse", "--short=12", "HEAD")
    if head is None:
        return None
    return head + ("+changes" if _git("status", "--porcelain", "--", *_python_files()) else "")


def write(path: Path, records: Iterable[Record]) -> None:
    """Replace a file by records, a line each. Raises RecordError."""
    lines = [record.line() for record in records]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def append(path: Path, record: Record) -> None:
    """Add a line to a file, which is made if missing. Raises RecordError."""
    line = record.line()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def read(path: Path) -> list[Record]:
    """All records of a file; none where there is no such file. Raises RecordError."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_parse(line, f"{path.name}:{number}") for number, line in enumerate(lines, 1)]


def _parse(line: str, where: str) -> Record:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise RecordError(f"{where} is no JSON: {error}") from error
    _check(found, where)
    return Record(**found)


def _check(found: Any, where: str) -> None:
    if not isinstance(found, dict) or set(found) != _KEYS:
        raise RecordError(f"{where} does not have the keys {sorted(_KEYS)}")
    for key in ("cell", "metrics", "provenance"):
        if not isinstance(found[key], dict):
            raise RecordError(f"{where}: {key} is no object")
    missing = _ORIGIN - set(found["provenance"])
    if missing:
        raise RecordError(f"{where}: provenance lacks {sorted(missing)}")
    _check_numbers(found["metrics"], f"{where}: metrics")


def _check_numbers(value: Any, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise RecordError(f"{where} is {value}")
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _check_numbers(inner, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _check_numbers(inner, f"{where}[{index}]")


def _found(names: Sequence[str]) -> dict[str, str]:
    """Versions of those that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _python_files() -> list[str]:
    return [f":(glob){folder}/**/*.py" for folder in _MEASURED]


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
