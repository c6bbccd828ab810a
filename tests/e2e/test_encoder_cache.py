"""Pictures that fell out of the GPU's encoder cache come back from host memory, not the tower."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from dialogue import Dialogue, Part, ask, savings, served_answer
from openai import OpenAI
from openai.types.chat import ChatCompletion
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


@dataclass
class Tenant:
    """One tenant's view of a server."""

    server: RunningServer
    client: OpenAI

    def ask(self, dialogue: Dialogue) -> tuple[float, ChatCompletion]:
        """Tower runs for one request, and its answer."""
        before = self.server.metric(RUNS)
        completion = ask(self.client, dialogue)
        return self.server.metric(RUNS) - before, completion

    def push_out(self, shown: Picture, first_seed: int) -> None:
        """Show so many other pictures that the encoder cache forgets the earlier ones."""
        for seed in range(first_seed, first_seed + 12):
            ask(self.client, Dialogue().user(shown(seed), "push"), max_tokens=1)


@pytest.fixture(scope="module")
def tenants(checkpoint: Path, kept: Path, serve_logged: Serve) -> Iterator[list[Tenant]]:
    """Two tenants of a server with the tier, whose own encoder cache holds ten pictures of six
    tokens."""
    command = ["serve", str(checkpoint), "--compressor", str(kept), "--encoder-cache-gib", "0.01"]
    keys = {"METACOMPRESS_API_KEYS": "one=key-of-one,two=key-of-two"}
    flags = ["--max-num-batched-tokens", "64"]
    with serve_logged(command, flags, environment=keys) as running, ExitStack() as clients:
        yield [
            Tenant(running, clients.enter_context(_client(running, key)))
            for key in ("key-of-one", "key-of-two")
        ]


def _client(server: RunningServer, key: str) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)


def test_an_evicted_picture_needs_no_second_run_and_the_tokens_are_the_same(
    tenants: list[Tenant], server: RunningServer, shown: Picture
) -> None:
    """The same steps without the tier, beside it: there the tower runs again."""
    first = Dialogue().user(shown(100), "what is it?")
    again = Dialogue().user("elsewhere in a prompt", shown(100), "what is it?")
    answers, runs = {}, {}
    for name, tenant in {"with": tenants[0], "without": Tenant(server, server.client)}.items():
        first_runs, answer = tenant.ask(first)
        assert first_runs == 1
        tenant.push_out(shown, 200)
        runs[name], answer_again = tenant.ask(again)
        answers[name] = [served_answer(answer), served_answer(answer_again)]
    assert runs == {"with": 0, "without": 1}
    for ours, plain in zip(answers["with"], answers["without"], strict=True):
        assert ours.token_ids == plain.token_ids
        assert ours.logprobs == pytest.approx(plain.logprobs, abs=1e-5)


def test_another_budget_of_the_same_picture_is_another_entry(
    tenants: list[Tenant], shown: Picture
) -> None:
    one, _ = tenants
    assert one.ask(Dialogue().user(shown(101, "low"), "a"))[0] == 1
    assert one.ask(Dialogue().user(shown(101, "high"), "a"))[0] == 1
    one.push_out(shown, 220)
    runs, completion = one.ask(Dialogue().user("b", shown(101, "high"), shown(101, "low")))
    assert runs == 0
    assert savings(completion)["images_reused"] == 2


def test_many_pictures_of_one_request_come_back_together(
    tenants: list[Tenant], shown: Picture
) -> None:
    one, _ = tenants
    pictures = [shown(seed) for seed in range(110, 116)]
    assert one.ask(Dialogue().user(*pictures, "one way"))[0] == 6
    one.push_out(shown, 240)
    runs, completion = one.ask(Dialogue().user("the other way", *reversed(pictures)))
    assert runs == 0
    assert savings(completion)["images_reused"] == 6


def test_another_tenants_picture_is_encoded_again(tenants: list[Tenant], shown: Picture) -> None:
    """Neither the processor's, the encoder's, the prefix cache nor the tier is shared."""
    one, two = tenants
    dialogue = Dialogue().user(shown(102), "whose is it?")
    assert one.ask(dialogue)[0] == 1
    assert one.ask(dialogue)[0] == 0
    runs, completion = two.ask(dialogue)
    assert runs == 1
    assert savings(completion)["images_reused"] == 0
    assert completion.usage is not None
    assert completion.usage.prompt_tokens_details.cached_tokens in (None, 0)
    assert two.ask(dialogue)[0] == 0
