"""The capacity model of `metacompress plan` against servers that run on this machine.

    python -m benchmarks.capacity                      # both models, some minutes on two cores
    python -m benchmarks.capacity --model embedded --rounds 3

For each model a server with its compressor and one without run side by side, with little memory
for keys and values. Predicted from the model's configuration alone, then measured: tokens' worth of
KV blocks that a picture holds, and sessions that find their picture again. The time of a first turn
is predicted from a rate and an overhead that were fitted to questions without a picture in the
same run, plus the tower's own time as the server counts it; so nothing about a picture's prefill is
fitted. Servers take turns, and ratios are paired by round. Writes
benchmarks/results/capacity.jsonl; `python -m benchmarks.capacity_page` puts it into
docs/capacity.md.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.records import RESULTS, Record, provenance, write
from benchmarks.serving.client import ClientError, hold, probe
from benchmarks.serving.contestants import FULL, MAIN, Contestant, embedded, random_576
from benchmarks.serving.dialogues import noise
from benchmarks.serving.servers import running
from benchmarks.serving.turns import Answers, Dialogue, Load, Outcome, Question, Turn
from metacompress_server.capacity.checkpoint_model import checkpoint_model
from metacompress_server.capacity.memory import KvLayout
from metacompress_server.capacity.models import ModelShape
from metacompress_server.capacity.sessions import Budget, SessionCost, session_cost
from metacompress_server.capacity.sessions import Dialogue as PlannedDialogue
from metacompress_server.demo.dialogue import DemoError

FILE = RESULTS / "capacity.jsonl"
MODELS = {"embedded": embedded, "random-576": random_576}
TEXT_WORDS = (30, 150, 400)
PICTURES_PER_ROUND = 3
RETENTION_RATIO = 0.1
_ANSWER = Answers(max_tokens=8, scripted=True)
_KV_NUMBER_BYTES = 2
_BLOCK_TOKENS = 32
_WARM_UP_ROUNDS = 1
_WORDS = ("tree", "cat", "left", "of", "the", "red", "above", "small", "dog", "there", "on", "big")


class CapacityCheckError(RuntimeError):
    """Something could not be measured. The message is one line."""


@dataclass(frozen=True)
class Subject:
    """One of the two servers of a model, and what is predicted for it."""

    contestant: Contestant
    url: str
    shape: ModelShape
    budget: Budget
    kv_bytes: int

    def cost(self, text_tokens: int) -> SessionCost:
        """Of a dialogue of one turn with so many tokens of question, and the answer's."""
        planned = PlannedDialogue(1, text_tokens, _ANSWER.max_tokens, 1, 256, 256)
        return session_cost(
            self.shape, planned, self.budget, KvLayout(_KV_NUMBER_BYTES, _BLOCK_TOKENS)
        )

    def load(self, dialogues: Sequence[Dialogue], longest_s: float = 300.0) -> Load:
        return Load(self.url, "bench", tuple(dialogues), _ANSWER, longest_s=longest_s)


def measure_model(name: str, rounds: int, folder: Path) -> list[Record]:
    """Both servers of a model, as two records.

    Raises:
        CapacityCheckError: a turn failed.
        ClientError, DemoError: the client or a server broke.
    """
    model = MODELS[name](folder)
    pair = [one for one in model.contestants if one.name in (FULL, MAIN)]
    with running(pair) as urls:
        subjects = [_subject(one, urls[one.name]) for one in pair]
        held = {one: _held(one, folder) for one in subjects}
        times = _first_turns(subjects, rounds, folder)
    return [_record(name, one, held[one], times, subjects[0]) for one in subjects]


def _subject(contestant: Contestant, url: str) -> Subject:
    shape = checkpoint_model(Path(contestant.words[0]))
    flags = dict(zip(contestant.flags, contestant.flags[1:], strict=False))
    budget = Budget(1.0 if contestant.name == FULL else RETENTION_RATIO)
    return Subject(contestant, url, shape, budget, int(flags["--kv-cache-memory-bytes"]))


def _held(subject: Subject, folder: Path) -> dict[str, Any]:
    """Blocks of a picture, and sessions that fit: predicted and measured."""
    name = f"held-{subject.contestant.image_tokens}"
    footprint = probe("footprint", subject.load(noise(folder, f"{name}-print", 1, 1)))
    (turn,) = _turns(hold(subject.load(noise(folder, f"{name}-one", 1, 1))))
    text = turn.prompt_tokens - turn.image_tokens
    cost = subject.cost(text)
    predicted = cost.fitting(subject.kv_bytes)
    opened = noise(folder, f"{name}-fit", round(1.25 * predicted) + 4, 2)
    fit = probe("fit", subject.load(opened))
    return {
        "text_tokens": text,
        "visual_tokens_held": {
            "predicted": cost.num_compressed_tokens,
            "measured": footprint["held_tokens"],
        },
        "sessions": {"predicted": predicted, "measured": fit["fitting"]},
        "session_blocks": cost.blocks,
    }


@dataclass(frozen=True)
class FirstTurns:
    """Times of one run, by server and round, and what was fitted to questions without a picture.

    Attributes:
        ttft_s: of first turns about a picture, a list for each round.
        prompt_tokens: of such a turn.
        tower_s, mapping_s: of a picture, as the server counts them.
        overhead_s, flops_per_s: of questions without a picture, all servers together.
    """

    ttft_s: Mapping[Subject, list[float]]
    prompt_tokens: Mapping[Subject, int]
    tower_s: float
    mapping_s: float
    overhead_s: float
    flops_per_s: float

    def predicted(self, subject: Subject) -> float:
        """Seconds to the first token of a first turn."""
        work = _prefill(subject, self.prompt_tokens[subject])
        mapping = self.mapping_s if subject.contestant.name == MAIN else 0.0
        return self.overhead_s + work / self.flops_per_s + self.tower_s + mapping


def _first_turns(subjects: Sequence[Subject], rounds: int, folder: Path) -> FirstTurns:
    """Ask all servers in turns; every question and picture is new."""
    times: dict[Subject, list[float]] = {one: [] for one in subjects}
    lengths: dict[Subject, int] = {}
    texts: list[tuple[int, float]] = []
    tower, mapping = [], []
    for number in range(rounds + _WARM_UP_ROUNDS):
        for subject in subjects if number % 2 else reversed(subjects):
            name = f"first-{number}-{subject.contestant.image_tokens}"
            about = noise(folder, name, PICTURES_PER_ROUND, 1)
            outcome = hold(subject.load([*_texts(f"text-{name}"), *about]))
            if number < _WARM_UP_ROUNDS:
                continue
            turns = _turns(outcome)
            plain = [turn for turn in turns if not turn.image_tokens]
            seen = [turn for turn in turns if turn.image_tokens]
            texts += [(_prefill(subject, one.prompt_tokens), one.ttft_s) for one in plain]
            times[subject].append(statistics.median(one.ttft_s for one in seen))
            lengths[subject] = seen[0].prompt_tokens
            if subject.contestant.name == MAIN:
                tower.append(outcome.moved["encode_s"] / len(seen))
                mapping.append(outcome.moved["compress_s"] / len(seen))
    overhead, rate = fitted(texts)
    return FirstTurns(
        times, lengths, statistics.median(tower), statistics.median(mapping), overhead, rate
    )


def fitted(texts: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Overhead in seconds and operations per second, from `(operations, seconds)`.

    A line through the median of each amount of work (text lengths differ by a token or two).

    Raises:
        CapacityCheckError: more work did not take longer.
    """
    ordered = sorted(texts)
    groups = np.array_split(np.array(ordered), len(TEXT_WORDS))
    work, seconds = (np.array([np.median(group[:, i]) for group in groups]) for i in (0, 1))
    slope, overhead = np.polyfit(work, seconds, 1)
    if slope <= 0:
        raise CapacityCheckError("longer questions did not take longer: the machine is too noisy")
    return float(overhead), float(1 / slope)


def _prefill(subject: Subject, prompt_tokens: int) -> int:
    language = subject.shape.language
    return language.prefill_flops([prompt_tokens] * language.num_layers)


def _texts(name: str) -> list[Dialogue]:
    """Questions without a picture, of a few lengths, that nobody asked before."""
    rng = np.random.default_rng(list(name.encode()))
    return [
        Dialogue(f"{name}-{count}", None, (Question(" ".join(rng.choice(_WORDS, count)), ""),))
        for count in TEXT_WORDS
    ]


def _turns(outcome: Outcome) -> tuple[Turn, ...]:
    failures = [turn.failure for turn in outcome.turns if turn.failure]
    if failures:
        raise CapacityCheckError(f"{len(failures)} turns failed, the first: {failures[0]}")
    return outcome.turns


def _record(
    name: str, subject: Subject, held: Mapping[str, Any], times: FirstTurns, full: Subject
) -> Record:
    measured, other = times.ttft_s[subject], times.ttft_s[full]
    ratios = [one / two for one, two in zip(measured, other, strict=True)]
    text = held["text_tokens"]
    share = subject.cost(text).first_turn_flops / full.cost(text).first_turn_flops
    cell = {
        "model": name,
        "compressor": subject.contestant.name == MAIN,
        "visual_tokens": subject.contestant.image_tokens,
        "kv_cache_bytes": subject.kv_bytes,
        "block_size": _BLOCK_TOKENS,
        "rounds": len(measured),
    }
    metrics = {
        **held,
        "ttft_first_turn_s": {
            "predicted": times.predicted(subject),
            "measured": statistics.median(measured),
            "rounds": measured,
        },
        "ttft_ratio": {
            "predicted": times.predicted(subject) / times.predicted(full),
            "measured": statistics.median(ratios),
            "work_share": share,
            "rounds": ratios,
        },
        "fitted": {"overhead_s": times.overhead_s, "prefill_flops_per_s": times.flops_per_s},
        "tower_s": times.tower_s,
        "mapping_s": times.mapping_s,
    }
    return Record(
        "capacity", cell, metrics, provenance(torch.device("cpu"), subject.contestant.flags)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    records: list[Record] = []
    try:
        for name in args.model or MODELS:
            with tempfile.TemporaryDirectory() as folder:
                records += measure_model(name, args.rounds, Path(folder))
    except (CapacityCheckError, ClientError, DemoError) as error:
        print(f"benchmarks.capacity: {error}", file=sys.stderr)
        return 1
    write(args.output, records)
    for record in records:
        print(json.dumps({**record.cell, **record.metrics}))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=list(MODELS), action="append", help="default: both")
    parser.add_argument("--rounds", type=int, default=8, help="of first turns (default: 8)")
    parser.add_argument("--output", type=Path, default=FILE, help="default: %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
