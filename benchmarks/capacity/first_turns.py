"""Times of first turns about a picture, and a prediction fitted to turns without one."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.capacity.subject import WORDS, CapacityCheckError, Subject, good_turns
from benchmarks.serving.client import hold
from benchmarks.serving.dialogues import noise
from benchmarks.serving.turns import Dialogue, Question

TEXT_WORDS = (30, 150, 400)
PICTURES_PER_ROUND = 3
_WARM_UP_ROUNDS = 1


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
        mapping = self.mapping_s if subject.compressed else 0.0
        return self.overhead_s + work / self.flops_per_s + self.tower_s + mapping


def first_turns(subjects: Sequence[Subject], rounds: int, folder: Path) -> FirstTurns:
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
            turns = good_turns(outcome)
            plain = [turn for turn in turns if not turn.image_tokens]
            seen = [turn for turn in turns if turn.image_tokens]
            texts += [(_prefill(subject, one.prompt_tokens), one.ttft_s) for one in plain]
            times[subject].append(statistics.median(one.ttft_s for one in seen))
            lengths[subject] = seen[0].prompt_tokens
            if subject.compressed:
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
        Dialogue(f"{name}-{count}", None, (Question(" ".join(rng.choice(WORDS, count)), ""),))
        for count in TEXT_WORDS
    ]
