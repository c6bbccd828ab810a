"""Pictures that fell out of the GPU's encoder cache come back from host memory, not the tower."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dialogue import Dialogue, Part, ask, savings, served_answer
from PIL.Image import Image
from running_server import RunningServer, Serve

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

RUNS = "metacompress_vision_tower_runs_total"
Picture = Callable[..., Part]


@pytest.fixture(scope="module")
def shown(picture: Callable[[int], Image], data_url: Callable[[Image], str]) -> Picture:
    """A picture as part of a message, with a detail if one is given."""

    def show(seed: int, *detail: str) -> Part:
        image = picture(seed)
        return (image, data_url(image), *detail)  # type: ignore[return-value]

    return show


@pytest.fixture(scope="module")
def keeping(checkpoint: Path, kept: Path, serve_logged: Serve) -> Iterator[RunningServer]:
    """A server with the tier. Its own encoder cache holds 64 tokens: ten pictures of six."""
    command = ["serve", str(checkpoint), "--compressor", str(kept), "--encoder-cache-gib", "0.01"]
    with serve_logged(command, ["--max-num-batched-tokens", "64"]) as running:
        yield running


def runs_of(server: RunningServer, dialogue: Dialogue) -> tuple[float, object]:
    """Tower runs for one request, and its answer."""
    before = server.metric(RUNS)
    completion = ask(server.client, dialogue)
    return server.metric(RUNS) - before, completion


def push_out(server: RunningServer, shown: Picture, first_seed: int) -> None:
    """Show so many other pictures that the encoder cache forgets the earlier ones."""
    for seed in range(first_seed, first_seed + 12):
        ask(server.client, Dialogue().user(shown(seed), "push"), max_tokens=1)


def test_an_evicted_picture_needs_no_second_run_and_the_tokens_are_the_same(
    keeping: RunningServer, server: RunningServer, shown: Picture
) -> None:
    """The same steps without the tier, beside it: there the tower runs again."""
    first = Dialogue().user(shown(100), "what is it?")
    again = Dialogue().user("elsewhere in a prompt", shown(100), "what is it?")
    answers, runs = {}, {}
    for name, running in {"with": keeping, "without": server}.items():
        first_runs, answer = runs_of(running, first)
        assert first_runs == 1
        push_out(running, shown, 200)
        runs[name], answer_again = runs_of(running, again)
        answers[name] = [served_answer(answer), served_answer(answer_again)]  # type: ignore[arg-type]
    assert runs == {"with": 0, "without": 1}
    for ours, plain in zip(answers["with"], answers["without"], strict=True):
        assert ours.token_ids == plain.token_ids
        assert ours.logprobs == pytest.approx(plain.logprobs, abs=1e-5)


def test_another_budget_of_the_same_picture_is_another_entry(
    keeping: RunningServer, shown: Picture
) -> None:
    assert runs_of(keeping, Dialogue().user(shown(101, "low"), "a"))[0] == 1
    assert runs_of(keeping, Dialogue().user(shown(101, "high"), "a"))[0] == 1
    push_out(keeping, shown, 220)
    runs, answer = runs_of(keeping, Dialogue().user("b", shown(101, "high"), shown(101, "low")))
    assert runs == 0
    assert savings(answer)["images_reused"] == 2  # type: ignore[arg-type]


def test_many_pictures_of_one_request_come_back_together(
    keeping: RunningServer, shown: Picture
) -> None:
    pictures = [shown(seed) for seed in range(110, 116)]
    assert runs_of(keeping, Dialogue().user(*pictures, "one way"))[0] == 6
    push_out(keeping, shown, 240)
    runs, completion = runs_of(keeping, Dialogue().user("the other way", *reversed(pictures)))
    assert runs == 0
    assert savings(completion)["images_reused"] == 6  # type: ignore[arg-type]
