"""The served model answers as transformers does on the same reduced embeddings and positions."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dialogue import Dialogue, Part, ask, savings, served_answer
from PIL.Image import Image
from reference import Reference, ReferenceAnswer
from running_server import RunningServer, Serve

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

Picture = Callable[[int], Part]
LONG = "a rather long text that is prefilled in several chunks " * 4


@pytest.fixture(scope="module")
def shown(picture: Callable[[int], Image], data_url: Callable[[Image], str]) -> Picture:
    """A picture as part of a message."""

    def show(seed: int) -> Part:
        image = picture(seed)
        return image, data_url(image)

    return show


def same(served: ReferenceAnswer, expected: ReferenceAnswer) -> None:
    assert served.token_ids == expected.token_ids
    assert served.logprobs == pytest.approx(expected.logprobs, abs=1e-4)


DIALOGUES: dict[str, Callable[[Picture], Dialogue]] = {
    "text alone": lambda show: Dialogue().user("hello there"),
    "one picture": lambda show: Dialogue().user(show(1), "what is it"),
    "picture after text": lambda show: Dialogue().user("look at this", show(1)),
    "three pictures": lambda show: Dialogue().user(show(1), "and", show(2), show(3), "differ?"),
    "swapped pictures": lambda show: Dialogue().user(show(3), "and", show(2), show(1), "differ?"),
    "the same picture twice": lambda show: Dialogue().user(show(1), show(1)),
    "chunked prefill": lambda show: Dialogue().user(show(4), LONG, show(5), "so?"),
    "pictures in several turns": lambda show: (
        Dialogue().user(show(6), "one").assistant("yes").user("two", show(7)).assistant("no")
    ).user("and three?"),
}


@pytest.mark.parametrize("name", DIALOGUES)
def test_greedy_answers_equal_the_reference_cold_and_with_prefix_hits(
    server: RunningServer, reference: Reference, shown: Picture, name: str
) -> None:
    dialogue = DIALOGUES[name](shown)
    expected = reference.answer(dialogue.prompt, dialogue.images, 8)
    same(served_answer(ask(server.client, dialogue)), expected)
    again = ask(server.client, dialogue)
    same(served_answer(again), expected)
    assert again.usage is not None
    if again.usage.prompt_tokens > 32:
        assert again.usage.prompt_tokens_details.cached_tokens >= 32


def test_mixed_details_in_one_request_equal_the_reference(
    server: RunningServer, reference: Reference, shown: Picture
) -> None:
    """Each picture its own number of tokens: 6, 30, 6 and the same picture once more at 30."""
    parts: list[Part] = [
        (*shown(8)[:2], "low"),
        "and",
        (*shown(9)[:2], "high"),
        shown(10),
        (*shown(8)[:2], "high"),
        "so?",
    ]
    dialogue = Dialogue().user(*parts)
    ratios = [0.1, 0.5, 0.1, 0.5]
    expected = reference.answer(dialogue.prompt, dialogue.images, 8, ratios)
    for reused in (0, 4):
        completion = ask(server.client, dialogue)
        same(served_answer(completion), expected)
        assert savings(completion) == {
            "image_tokens_original": 256,
            "image_tokens": 6 + 30 + 6 + 30,
            "images_reused": reused,
        }


def test_every_turn_of_a_dialogue_equals_the_reference(
    server: RunningServer, reference: Reference, shown: Picture
) -> None:
    """Turn 2 and later find the picture's KV in the prefix cache; the tower runs once."""
    runs_before = server.metric("metacompress_vision_tower_runs_total")
    dialogue = Dialogue().user(shown(20), "what is it, and where does it stand?")
    for turn, question in enumerate(["", "what colour has it, do you think?", "and how large?"]):
        if question:
            dialogue = dialogue.user(question)
        completion = ask(server.client, dialogue)
        same(
            served_answer(completion),
            reference.answer(dialogue.prompt, dialogue.images, 8),
        )
        assert completion.usage is not None
        cached = completion.usage.prompt_tokens_details.cached_tokens
        assert cached >= 32 if turn else cached == 0
        assert savings(completion)["images_reused"] == (1 if turn else 0)
        dialogue = dialogue.assistant("it is a thing")
    assert server.metric("metacompress_vision_tower_runs_total") == runs_before + 1


def test_answers_to_the_positions_limit_equal_the_reference(
    server: RunningServer, reference: Reference, shown: Picture
) -> None:
    """The last position of the model is used, and not one more."""
    dialogue = Dialogue().user(shown(21), "x" * 568)
    completion = ask(server.client, dialogue, max_tokens=50)
    room = 640 - (64 + 568 + 2)
    expected = reference.answer(dialogue.prompt, dialogue.images, room)
    same(served_answer(completion), expected)
    assert completion.choices[0].finish_reason == "length"


@pytest.fixture(scope="module")
def contiguous_server(
    checkpoint: Path, contiguous: Path, serve_logged: Serve
) -> Iterator[RunningServer]:
    command = ["serve", str(checkpoint), "--compressor", str(contiguous)]
    with serve_logged(command, ["--max-num-batched-tokens", "64"]) as running:
        yield running


def test_contiguous_positions_equal_the_reference(
    contiguous_server: RunningServer, checkpoint: Path, contiguous: Path, shown: Picture
) -> None:
    reference = Reference(checkpoint, contiguous)
    for make in DIALOGUES.values():
        dialogue = make(shown)
        expected = reference.answer(dialogue.prompt, dialogue.images, 8)
        same(served_answer(ask(contiguous_server.client, dialogue)), expected)
        same(served_answer(ask(contiguous_server.client, dialogue)), expected)
