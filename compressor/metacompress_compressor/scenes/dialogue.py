"""Several turns about one scene: kinds drawn evenly, follow-ups only where "it" has one meaning."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from .layout import Scene, sample_scene
from .questions import KINDS, Turn


@dataclass(frozen=True)
class Dialogue:
    """A scene and the turns asked about it."""

    scene: Scene
    turns: tuple[Turn, ...]


def _repeats(turn: Turn, earlier: list[Turn]) -> bool:
    """Whether a question was asked before, or a follow-up asks what was just told."""
    if turn.kind == "follow_up":
        return (turn.answer, turn.referent) == (earlier[-1].answer, earlier[-1].referent)
    return any(turn.question == other.question for other in earlier)


def _next_turn(scene: Scene, rng: random.Random, earlier: list[Turn], kinds: Sequence[str]) -> Turn:
    """A turn of a random kind that is possible here and, as far as possible, not a repetition."""
    referent = earlier[-1].referent if earlier else None
    turn = None
    for _ in range(20):
        turn = KINDS[rng.choice(kinds)](scene, rng, referent) or turn
        if turn and not _repeats(turn, earlier):
            break
    if turn is None:
        raise ValueError(f"none of the kinds {list(kinds)} can be asked about this scene")
    return turn


def sample_dialogue(
    rng: random.Random,
    num_turns: int,
    scene: Scene | None = None,
    kinds: Sequence[str] | None = None,
) -> Dialogue:
    """Draws a dialogue.

    Args:
        rng: Source of chance; the same state gives the same dialogue.
        num_turns: Number of turns, at least 1.
        scene: The scene to ask about; drawn if None.
        kinds: Kinds of question to choose from; all if None.

    Raises:
        ValueError: `num_turns` below 1, or no kind can be asked about the scene.
        KeyError: An unknown kind.
    """
    if num_turns < 1:
        raise ValueError(f"num_turns must be at least 1, got {num_turns}")
    scene = scene or sample_scene(rng)
    turns: list[Turn] = []
    for _ in range(num_turns):
        turns.append(_next_turn(scene, rng, turns, kinds or list(KINDS)))
    return Dialogue(scene, tuple(turns))
