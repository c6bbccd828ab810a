"""Scores of an evaluation, kept in a file as they come, so that a stopped one goes on."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

OUTCOMES_FILE = "outcomes.jsonl"

Scores = dict[int, list[float]]
"""By the number of a dialogue: a score from 0 to 1 for each of its turns."""


class OutcomesMismatch(ValueError):
    """A file of scores that this evaluation cannot add to. The message is one line."""


class OutcomeStore:
    """Scores by trial and dialogue. Each `add` is on disk when it returns.

    Args:
        folder: where `outcomes.jsonl` is or will be.
        identity: of the model, the data, the scoring and the code; scores of another are refused.

    Raises:
        OutcomesMismatch: the file there is of another evaluation, or none of ours.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self._path = folder / OUTCOMES_FILE
        self._scores: dict[str, Scores] = defaultdict(dict)
        if self._path.exists():
            self._read(dict(identity))
        else:
            self._path.write_text(json.dumps(dict(identity)) + "\n")

    def missing(self, trial: str, indices: Sequence[int]) -> bool:
        """Whether any of these dialogues has no scores yet."""
        known = self._scores[trial]
        return any(index not in known for index in indices)

    def scores(self, trial: str) -> Scores:
        return self._scores[trial]

    def add(self, indices: Sequence[int], found: Mapping[str, Sequence[Sequence[float]]]) -> None:
        """Keep scores of some dialogues, for some trials."""
        rounded = {
            trial: [[round(float(score), 4) for score in turns] for turns in scores]
            for trial, scores in found.items()
        }
        with self._path.open("a") as stream:
            stream.write(json.dumps({"dialogues": list(indices), "scores": rounded}) + "\n")
        self._take(list(indices), rounded)

    def _read(self, identity: dict[str, Any]) -> None:
        lines = self._path.read_bytes().splitlines(keepends=True)
        try:
            was = json.loads(lines[0])
            whole = [json.loads(line) for line in lines[1:] if line.endswith(b"\n")]
        except (ValueError, IndexError) as error:
            raise OutcomesMismatch(f"{self._path} is not a file of scores") from error
        for name in identity.keys() | was.keys():
            if was.get(name) != identity.get(name):
                raise OutcomesMismatch(
                    f"{self._path} holds scores of another {name}: "
                    "choose another --out, or delete that file"
                )
        if lines and not lines[-1].endswith(b"\n"):  # cut short while it was written
            self._path.write_bytes(b"".join(lines[:-1]))
        for line in whole:
            self._take(line["dialogues"], line["scores"])

    def _take(self, indices: list[int], found: Mapping[str, list[list[float]]]) -> None:
        for trial, scores in found.items():
            self._scores[trial].update(zip(indices, scores, strict=True))
