"""Two workers on a CPU: both hold the compressor, keep what they encoded, and load another one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dialogue import Dialogue, Part, ask, savings, served_answer
from PIL.Image import Image
from reference import Reference
from running_server import RunningServer, Serve
from tiny_llava import save_compressor

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

RUNS = "metacompress_vision_tower_runs_total"
Picture = Callable[..., Part]


@pytest.fixture(scope="module")
def shown(picture: Callable[[int], Image], data_url: Callable[[Image], str]) -> Picture:
    def show(seed: int, *detail: str) -> Part:
        image = picture(seed)
        return (image, data_url(image), *detail)  # type: ignore[return-value]

    return show


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Path:
    folder = tmp_path_factory.mktemp("artifacts") / "second"
    return save_compressor(folder, checkpoint, seed=7, trained_retention_ratios=(0.1, 0.25))


@pytest.fixture(scope="module")
def two_workers(
    checkpoint: Path, kept: Path, second: Path, serve_logged: Serve
) -> Iterator[RunningServer]:
    """One core each, and another default budget than the artifact's.

    Without the binding vLLM refuses two workers on one NUMA node.
    """
    command = ["serve", str(checkpoint), "--compressor", str(kept), "--retention", "0.25"]
    command += ["--encoder-cache-gib", "0.01", "--compressor-dir", str(second.parent)]
    flags = ["-tp", "2", "--max-num-batched-tokens", "64"]
    environment = {"VLLM_CPU_OMP_THREADS_BIND": "0|1"}
    with serve_logged(command, flags, environment=environment) as running:
        yield running


def test_two_workers_answer_as_transformers_does(
    two_workers: RunningServer, reference: Reference, shown: Picture
) -> None:
    dialogue = Dialogue().user(shown(1, "low"), "and", shown(2, "high"), shown(3), "differ?")
    expected = reference.answer(dialogue.prompt, dialogue.images, 8, [0.1, 0.5, 0.25])
    for reused in (0, 3):
        completion = ask(two_workers.client, dialogue)
        served = served_answer(completion)
        assert served.token_ids == expected.token_ids
        assert served.logprobs == pytest.approx(expected.logprobs, abs=1e-4)
        assert savings(completion)["images_reused"] == reused


def test_both_workers_bring_an_evicted_picture_back(
    two_workers: RunningServer, reference: Reference, shown: Picture
) -> None:
    ask(two_workers.client, Dialogue().user(shown(4), "once"))
    for seed in range(20, 32):
        ask(two_workers.client, Dialogue().user(shown(seed), "push"), max_tokens=1)
    runs = two_workers.metric(RUNS)
    dialogue = Dialogue().user("at another place", shown(4), "again")
    served = served_answer(ask(two_workers.client, dialogue))
    assert two_workers.metric(RUNS) == runs
    expected = reference.answer(dialogue.prompt, dialogue.images, 8, [0.25])
    assert served.token_ids == expected.token_ids


def test_both_workers_load_another_compressor(
    two_workers: RunningServer, checkpoint: Path, second: Path, shown: Picture
) -> None:
    answer = two_workers.post("/v1/compressor/reload", json={"compressor": "second"})
    assert answer.status_code == 200, answer.text
    dialogue = Dialogue().user(shown(1), "after the reload")
    served = served_answer(ask(two_workers.client, dialogue))
    expected = Reference(checkpoint, second).answer(dialogue.prompt, dialogue.images, 8, [0.25])
    assert served.token_ids == expected.token_ids
    assert served.logprobs == pytest.approx(expected.logprobs, abs=1e-4)
