"""Dialogues about pictures of several sizes: scenes with right answers, or noise and words."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.serving.turns import Dialogue, Question
from metacompress_compressor.scenes.dialogue import sample_dialogue
from metacompress_compressor.scenes.draw import draw_scene

SIZES = ((256, 256), (640, 480), (1024, 768))
"""Pixels of the pictures that clients send, in turns; the model's processor scales them all."""

LARGE = (2048, 1536)

SEED = 7001
"""Other scenes than those of training and of evaluation."""

_WORDS = ("tree", "cat", "left", "of", "the", "red", "above", "small", "dog", "there", "green")
_WORDS_PER_QUESTION = 20
_WORDS_PER_ANSWER = 12

Maker = Callable[[Path, str, int, int], tuple[Dialogue, ...]]
"""(folder for pictures, name, how many dialogues, turns) -> dialogues that nobody else has."""


def scenes(folder: Path, name: str, count: int, turns: int) -> tuple[Dialogue, ...]:
    """About the embedded model's pictures, with the right answers.

    Only the square size, as PNG: the model was never shown a picture that was scaled.
    """
    found = []
    for index in range(count):
        rng = random.Random(f"{SEED}/{name}/{index}")
        dialogue = sample_dialogue(rng, turns)
        path = folder / f"{name}-{index}.png"
        Image.fromarray(draw_scene(dialogue.scene)).save(path)
        questions = tuple(Question(turn.question, turn.answer) for turn in dialogue.turns)
        found.append(Dialogue(f"{name}-{index}", str(path), questions))
    return tuple(found)


def noise(folder: Path, name: str, count: int, turns: int) -> tuple[Dialogue, ...]:
    """About coarse noise in pictures of every size, with words at random."""
    return _noise(folder, name, count, turns, SIZES)


def _noise(
    folder: Path, name: str, count: int, turns: int, sizes: Sequence[tuple[int, int]]
) -> tuple[Dialogue, ...]:
    found = []
    for index in range(count):
        rng = np.random.default_rng(list(f"{SEED}/{name}/{index}".encode()))
        path = folder / f"{name}-{index}.jpg"
        _coarse_noise(rng, sizes[index % len(sizes)]).save(path, quality=90)
        questions = tuple(
            Question(_words(rng, _WORDS_PER_QUESTION), _words(rng, _WORDS_PER_ANSWER))
            for _ in range(turns)
        )
        found.append(Dialogue(f"{name}-{index}", str(path), questions))
    return tuple(found)


def large(folder: Path, name: str, count: int, turns: int) -> tuple[Dialogue, ...]:
    """About coarse noise in pictures of 3 megapixels, as a phone would send them scaled down."""
    return _noise(folder, name, count, turns, (LARGE,))


def with_text(dialogue: Dialogue, words: int) -> Dialogue:
    """The same picture, with a first question of so many words and a short second one."""
    return replace(dialogue, questions=(Question("left " * words, "."), Question("right", ".")))


def _coarse_noise(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    coarse = rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def _words(rng: np.random.Generator, count: int) -> str:
    words: Sequence[str] = rng.choice(_WORDS, count).tolist()
    return " ".join(words)
