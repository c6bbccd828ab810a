"""The cells of the matrix, each in blocks that go round the contestants and back (ABBA)."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.serving.client import hold, probe
from benchmarks.serving.contestants import BLOCK_TOKENS, FULL, MAIN, TIERS, Contestant, Model
from benchmarks.serving.dialogues import with_text
from benchmarks.serving.servers import running
from benchmarks.serving.summary import compared, describe
from benchmarks.serving.turns import Load, Outcome

Say = Callable[[str], None]

TEXTS = (24, 96)
"""Words of a session beside its picture: about one turn, about three."""


@dataclass(frozen=True)
class Effort:
    """How much is measured; the rest of the matrix is the same.

    blocks, dialogues: of the cells that everybody takes part in.
    at_once: levels of the curve.
    """

    blocks: int = 6
    dialogues: int = 6
    turns: int = 3
    at_once: tuple[int, ...] = (1, 2, 4, 8)
    loads: int = 2
    open_dialogues: int = 16
    low: int = 4
    high: int = 16


QUICK = Effort(blocks=2, dialogues=3, at_once=(1, 4), open_dialogues=6, high=14)


@dataclass(frozen=True)
class Result:
    """One contestant in one cell, before it becomes a record."""

    cell: Mapping[str, Any]
    metrics: Mapping[str, Any]
    contestant: Contestant


@dataclass
class Stage:
    """A model and those of its servers that run.

    folder: for pictures.
    """

    model: Model
    folder: Path
    say: Say
    _urls: dict[str, str] = field(default_factory=dict, init=False)
    _cells: int = field(default=0, init=False)

    @contextlib.contextmanager
    def servers(self, names: Sequence[str]) -> Iterator[None]:
        """More servers while the context lasts, warm: each has answered what is not counted."""
        started = time.monotonic()
        with running([one for one in self.model.contestants if one.name in names]) as urls:
            self._urls |= urls
            for name in urls:
                (one,) = self.contestants((name,))
                hold(self.load(one, f"warm-{name}", 2, 2))
            self.say(f"{', '.join(urls)}: ready after {time.monotonic() - started:.0f} s")
            yield
        for name in urls:
            del self._urls[name]

    def contestants(self, names: Sequence[str] | None = None) -> list[Contestant]:
        """Those named, or all, of those whose servers run."""
        return [
            one
            for one in self.model.contestants
            if one.name in self._urls and (names is None or one.name in names)
        ]

    def load(self, contestant: Contestant, name: str, count: int, turns: int, **more: Any) -> Load:
        """A load on one contestant, with dialogues that this stage has seen under no other name."""
        answers = replace(self.model.answers, image_tokens=contestant.image_tokens)
        dialogues = self.model.make(self.folder, name, count, turns)
        return Load(self._urls[contestant.name], "bench", dialogues, answers, **more)

    def interleaved(
        self, contestants: Sequence[Contestant], blocks: int, count: int, turns: int, **more: Any
    ) -> dict[str, list[Outcome]]:
        """Outcomes of every contestant's blocks; in a block all get the same dialogues."""
        self._cells += 1
        found: dict[str, list[Outcome]] = {one.name: [] for one in contestants}
        for block in range(blocks):
            order = contestants if block % 2 == 0 else contestants[::-1]
            for one in order:
                name = f"{self._cells}-{block}"
                load = self.load(one, name, count, turns, seed=block, **more)
                found[one.name].append(hold(load))
        return found

    def results(
        self,
        cell: Mapping[str, Any],
        contestants: Sequence[Contestant],
        outcomes: Mapping[str, Sequence[Outcome]],
        than: str = FULL,
    ) -> Iterator[Result]:
        """A result for each, with its ratios to the contestant `than` in the same blocks."""
        for one in contestants:
            metrics = describe(outcomes[one.name])
            if one.name != than and than in outcomes:
                metrics["ratio"] = compared(outcomes[one.name], outcomes[than])
            yield self.result(cell, one, metrics)
            self.say(_line(cell, one, metrics))

    def result(
        self, cell: Mapping[str, Any], contestant: Contestant, metrics: Mapping[str, Any]
    ) -> Result:
        about = {
            "model": self.model.name,
            "contestant": contestant.name,
            "image_tokens_original": self.model.num_visual_tokens,
            "image_tokens": contestant.image_tokens,
        }
        return Result({**about, **cell}, metrics, contestant)


def everything(stage: Stage, effort: Effort) -> Iterator[Result]:
    """All cells of a model. No more servers run at a time than a cell needs: memory is short."""
    names = [one.name for one in stage.model.contestants]
    tiers = [name for name in names if name.endswith(TIERS)]
    others = [name for name in names if name not in (FULL, MAIN, *tiers)]
    with stage.servers((FULL, MAIN)):
        with stage.servers(others):
            alone = list(turn_by_turn(stage, effort))
            yield from alone
            yield from memory(stage)
        if tiers:
            yield from crowds(stage, effort)
            yield from arrivals(stage, effort, sessions_per_s(alone))
            with stage.servers(tiers):
                yield from pressure(stage, effort)


def turn_by_turn(stage: Stage, effort: Effort) -> Iterator[Result]:
    """One dialogue at a time, everybody: time, tower runs, accuracy."""
    contestants = stage.contestants()
    outcomes = stage.interleaved(contestants, effort.blocks, effort.dialogues, effort.turns)
    cell = {"part": "turns", "loop": "closed", "at_once": 1, "turns": effort.turns}
    yield from stage.results(cell, contestants, outcomes)


def memory(stage: Stage) -> Iterator[Result]:
    """KV of one picture, and how many sessions fit into the same memory."""
    for one in stage.contestants():
        held = probe("footprint", _brief(stage.load(one, "footprint", 1, 1)))
        ideal = one.image_tokens / stage.model.num_visual_tokens
        fits = {words: _fit(stage, one, held["capacity_tokens"], words) for words in TEXTS}
        bytes_per_token = stage.model.kv_bytes_per_token
        metrics = {
            "visual_kv_bytes": round(held["held_tokens"] * bytes_per_token),
            "visual_kv_of_original": round(held["held_tokens"] / stage.model.num_visual_tokens, 5),
            "ideal": round(ideal, 5),
            "over_ideal": round(held["held_tokens"] / one.image_tokens, 4),
            "kv_memory_bytes": held["capacity_tokens"] * bytes_per_token,
            "sessions_that_fit": {f"{words} words": count for words, count in fits.items()},
        }
        stage.say(f"{stage.model.name} memory {one.name}: {metrics}")
        yield stage.result({"part": "memory"}, one, metrics)


def _fit(stage: Stage, one: Contestant, capacity_tokens: int, words: int) -> int:
    """How many sessions of a picture and so many words find their picture again."""
    whole_blocks = (one.image_tokens + words) // BLOCK_TOKENS * BLOCK_TOKENS
    count = capacity_tokens // whole_blocks + 2
    load = _brief(stage.load(one, f"fit-{words}", count, 2))
    dialogues = tuple(with_text(dialogue, words) for dialogue in load.dialogues)
    return int(probe("fit", replace(load, dialogues=dialogues))["fitting"])


def _brief(load: Load) -> Load:
    """With answers of one token, which stand in no dialogue."""
    return replace(load, answers=replace(load.answers, max_tokens=1, scripted=True))


def crowds(stage: Stage, effort: Effort) -> Iterator[Result]:
    """More and more dialogues at once."""
    contestants = stage.contestants((FULL, MAIN))
    for level in effort.at_once:
        count = max(effort.dialogues, 2 * level)
        outcomes = stage.interleaved(contestants, effort.loads, count, effort.turns, at_once=level)
        cell = {"part": "crowds", "loop": "closed", "at_once": level, "turns": effort.turns}
        yield from stage.results(cell, contestants, outcomes)


def arrivals(stage: Stage, effort: Effort, rate: float) -> Iterator[Result]:
    """Dialogues that arrive whether or not the server keeps up.

    Args:
        rate: per second.
    """
    contestants = stage.contestants((FULL, MAIN))
    how = {"loop": "open", "rate": round(rate, 4), "think_s": 0.5}
    outcomes = stage.interleaved(
        contestants, effort.loads, effort.open_dialogues, effort.turns, **how
    )
    yield from stage.results(
        {"part": "arrivals", "turns": effort.turns, **how}, contestants, outcomes
    )


def pressure(stage: Stage, effort: Effort) -> Iterator[Result]:
    """Sessions that lie idle between their turns: few, or more than the KV memory holds."""
    contestants = stage.contestants((FULL, MAIN, FULL + TIERS, MAIN + TIERS))
    for level, sessions in (("low", effort.low), ("high", effort.high)):
        outcomes = stage.interleaved(
            contestants, effort.loads, sessions, effort.turns, loop="rounds", at_once=2
        )
        cell = {"part": "pressure", "pressure": level, "sessions": sessions, "turns": effort.turns}
        yield from stage.results({**cell, "loop": "rounds", "at_once": 2}, contestants, outcomes)


def sessions_per_s(results: Sequence[Result]) -> float:
    """Dialogues per second of the uncompressed server, one at a time."""
    (full,) = [r for r in results if (r.cell["part"], r.contestant.name) == ("turns", FULL)]
    return float(full.metrics["turns_per_s"]) / float(full.cell["turns"])


def _line(cell: Mapping[str, Any], one: Contestant, metrics: Mapping[str, Any]) -> str:
    """What a person watching wants to see."""
    shown = [f"{cell['part']:9}", f"{one.name:28}"]
    shown += [str(cell[key]) for key in ("at_once", "pressure") if key in cell]
    for name in ("ttft_first_s", "ttft_later_s"):
        if metrics[name]:
            shown.append(f"{name} {metrics[name]['p50']:.3f}")
    ratio = metrics.get("ratio", {}).get("ttft_first")
    if ratio:
        shown.append(f"ratio {ratio['value']:.2f}")
    if metrics["failures"]:
        shown.append(f"FAILURES {metrics['failures']}")
    return "  ".join(shown)
