"""The compressor is replaced while requests run: none is lost, and no cache mixes the two."""

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest
from dialogue import Dialogue, Part, ask, savings, served_answer
from PIL.Image import Image
from reference import Reference, ReferenceAnswer
from running_server import RunningServer, Serve
from tiny_llava import save_checkpoint, save_compressor

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

NUM_CLIENTS = 4
NUM_RELOADS = 4
TOKENS = {"first": 6, "second": 16}
Picture = Callable[[int], Part]


@pytest.fixture(scope="module")
def shown(picture: Callable[[int], Image], data_url: Callable[[Image], str]) -> Picture:
    def show(seed: int) -> Part:
        image = picture(seed)
        return image, data_url(image)

    return show


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, kept: Path) -> Path:
    """`first` is what the server starts with; `second` has other weights and another m."""
    folder = tmp_path_factory.mktemp("artifacts")
    shutil.copytree(kept, folder / "first")
    budget = {"retention_ratio": 0.25, "trained_retention_ratios": (0.25,)}
    save_compressor(folder / "second", checkpoint, seed=7, **budget)
    save_compressor(folder / "renumbering", checkpoint, seed=8, positions="contiguous")
    other = save_checkpoint(tmp_path_factory.mktemp("other") / "tiny-llava", seed=9)
    save_compressor(folder / "for-another-model", other)
    return folder


@pytest.fixture(scope="module")
def reloadable(
    checkpoint: Path, kept: Path, artifacts: Path, serve_logged: Serve
) -> Iterator[RunningServer]:
    """With every cache that there is."""
    command = ["serve", str(checkpoint), "--compressor", str(kept), "--encoder-cache-gib", "0.01"]
    with serve_logged([*command, "--compressor-dir", str(artifacts)]) as running:
        yield running


@pytest.fixture(scope="module")
def references(checkpoint: Path, artifacts: Path) -> dict[str, Reference]:
    return {name: Reference(checkpoint, artifacts / name) for name in TOKENS}


@pytest.fixture(scope="module")
def dialogues(shown: Picture) -> list[Dialogue]:
    return [
        Dialogue().user(shown(1), "what is it"),
        Dialogue().user("look at", shown(2), "and", shown(1)),
        Dialogue().user(shown(3), "one").assistant("yes").user("two", shown(2)),
    ]


def reload(server: RunningServer, name: str) -> str:
    answer = server.post("/v1/compressor/reload", json={"compressor": name})
    assert answer.status_code == 200, answer.text
    digest: str = answer.json()["digest"]
    return digest


def equal(answer: ReferenceAnswer, expected: ReferenceAnswer) -> bool:
    return answer.token_ids == expected.token_ids and answer.logprobs == pytest.approx(
        expected.logprobs, abs=1e-4
    )


@dataclass
class Answered:
    dialogue: int
    started: float
    ended: float
    answer: ReferenceAnswer


def keep_asking(server: RunningServer, dialogues: list[Dialogue], stop: Event) -> list[Answered]:
    answers = []
    while not stop.is_set():
        for index, dialogue in enumerate(dialogues):
            started = time.monotonic()
            completion = ask(server.client, dialogue)
            answers.append(Answered(index, started, time.monotonic(), served_answer(completion)))
    return answers


def test_reloads_under_load_lose_nothing_and_mix_nothing(
    reloadable: RunningServer, references: dict[str, Reference], dialogues: list[Dialogue]
) -> None:
    expected = {
        name: [reference.answer(d.prompt, d.images, 8) for d in dialogues]
        for name, reference in references.items()
    }
    assert not equal(expected["first"][0], expected["second"][0])
    stop = Event()
    in_use = [("first", 0.0, time.monotonic())]
    with ThreadPoolExecutor(NUM_CLIENTS) as pool:
        clients = [
            pool.submit(keep_asking, reloadable, dialogues, stop) for _ in range(NUM_CLIENTS)
        ]
        for number in range(NUM_RELOADS):
            time.sleep(3)
            began = time.monotonic()
            name = ("second", "first")[number % 2]
            reload(reloadable, name)
            in_use[-1] = (*in_use[-1][:2], began)
            in_use.append((name, time.monotonic(), float("inf")))
        time.sleep(3)
        stop.set()
        answers = [answer for client in clients for answer in client.result()]
    sure = 0
    for one in answers:
        fitting = {name for name in TOKENS if equal(one.answer, expected[name][one.dialogue])}
        assert fitting, one
        for name, since, until in in_use:
            if since < one.started and one.ended < until:
                assert name in fitting
                sure += 1
    assert sure > 10 * NUM_RELOADS
    assert len(answers) > sure


def test_old_cache_entries_are_not_used_and_are_right_again_after_going_back(
    reloadable: RunningServer, references: dict[str, Reference], shown: Picture
) -> None:
    dialogue = Dialogue().user("a prompt of its own", shown(50), "for this test alone")
    digests, runs = [], []
    for name in ("first", "second", "first"):
        digests.append(reload(reloadable, name))
        before = reloadable.metric("metacompress_vision_tower_runs_total")
        completion = ask(reloadable.client, dialogue)
        runs.append(reloadable.metric("metacompress_vision_tower_runs_total") - before)
        assert savings(completion)["image_tokens"] == TOKENS[name]
        expected = references[name].answer(dialogue.prompt, dialogue.images, 8)
        assert equal(served_answer(completion), expected)
    assert digests[0] == digests[2] != digests[1]
    assert runs == [1, 1, 0]
    assert reloadable.get("/v1/compressor").json() == {
        "object": "compressor",
        "digest": digests[0],
        "image_tokens_original": 64,
        "image_tokens": {"low": 6, "auto": 6, "high": 30},
    }


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("absent", "cannot read absent/config.json"),
        ("for-another-model", "trained for fingerprint"),
        ("renumbering", "the other form of positions"),
        ("../first", "the name of a folder"),
        ("", "the name of a folder"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_changes(
    reloadable: RunningServer, name: str, complaint: str
) -> None:
    before = reloadable.get("/v1/compressor").json()
    answer = reloadable.post("/v1/compressor/reload", json={"compressor": name})
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]["message"]
    assert answer.json()["error"]["param"] == "compressor"
    assert reloadable.get("/v1/compressor").json() == before


def test_a_broken_artifact_is_refused(reloadable: RunningServer, artifacts: Path) -> None:
    broken = artifacts / "broken"
    shutil.copytree(artifacts / "second", broken)
    weights = broken / "compressor.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00\x01")
    answer = reloadable.post("/v1/compressor/reload", json={"compressor": "broken"})
    assert answer.status_code == 400
    assert "sha256" in answer.json()["error"]["message"]
    assert str(artifacts) not in answer.text


def test_without_the_operators_folder_there_is_no_such_route(server: RunningServer) -> None:
    assert server.get("/v1/compressor").status_code == 404
    answer = server.post("/v1/compressor/reload", json={"compressor": "first"})
    assert answer.status_code == 404
