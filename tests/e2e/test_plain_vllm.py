"""`--compressor none` is plain vLLM, and plain `vllm serve` compresses with the plugin."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dialogue import Dialogue, ask, savings, served_answer
from PIL.Image import Image
from reference import Reference
from running_server import RunningServer, Serve

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def dialogues(picture: Callable[[int], Image], data_url: Callable[[Image], str]) -> list[Dialogue]:
    one, two = ((image, data_url(image)) for image in (picture(1), picture(2)))
    first = Dialogue().user(one, "what is it")
    return [first, Dialogue().user("a", two, one), first.assistant("it").user("and", two, "?")]


@pytest.fixture(scope="module")
def plain_vllm(checkpoint: Path, serve_logged: Serve) -> Iterator[RunningServer]:
    """vLLM alone, with none of our plugins."""
    environment = {"VLLM_PLUGINS": "", "TORCHDYNAMO_DISABLE": "1"}
    command = ["serve", str(checkpoint)]
    with serve_logged(command, program="vllm", environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def uncompressed(checkpoint: Path, serve_logged: Serve) -> Iterator[RunningServer]:
    command = ["serve", str(checkpoint), "--compressor", "none"]
    with serve_logged(command) as running:
        yield running


def test_no_compressor_equals_plain_vllm_bit_for_bit(
    plain_vllm: RunningServer, uncompressed: RunningServer, dialogues: list[Dialogue]
) -> None:
    for dialogue in dialogues:
        ours = served_answer(ask(uncompressed.client, dialogue))
        theirs = served_answer(ask(plain_vllm.client, dialogue))
        assert ours == theirs


def test_no_compressor_equals_transformers(
    uncompressed: RunningServer, checkpoint: Path, dialogues: list[Dialogue]
) -> None:
    reference = Reference(checkpoint, None)
    for dialogue in dialogues:
        served = served_answer(ask(uncompressed.client, dialogue))
        expected = reference.answer(dialogue.prompt, dialogue.images, 8)
        assert served.token_ids == expected.token_ids
        assert served.logprobs == pytest.approx(expected.logprobs, abs=1e-4)


def test_no_compressor_says_that_nothing_was_saved(
    uncompressed: RunningServer, dialogues: list[Dialogue]
) -> None:
    bypassed = uncompressed.metric("metacompress_images_total", result="bypassed")
    runs = uncompressed.metric("metacompress_vision_tower_runs_total")
    saved = savings(ask(uncompressed.client, dialogues[1]))
    assert saved["image_tokens"] == saved["image_tokens_original"] == 128
    assert bypassed == runs
    assert uncompressed.metric("metacompress_images_total", result="compressed") == 0


@pytest.fixture(scope="module")
def vllm_with_plugin(checkpoint: Path, kept: Path, serve_logged: Serve) -> Iterator[RunningServer]:
    """`vllm serve` with the plugins named and the artifact in --hf-overrides; engine and worker
    in processes of their own, as vLLM does it by itself on a CPU."""
    overrides = {
        "architectures": ["MetaCompressLlavaForConditionalGeneration"],
        "metacompress_compressor": str(kept),
    }
    environment = {"VLLM_PLUGINS": "metacompress,metacompress_api", "TORCHDYNAMO_DISABLE": "1"}
    flags = ["--hf-overrides", json.dumps(overrides), "--distributed-executor-backend", "mp"]
    command = ["serve", str(checkpoint)]
    with serve_logged(command, flags, program="vllm", environment=environment) as running:
        yield running


def test_plain_vllm_serve_compresses_with_the_plugin(
    vllm_with_plugin: RunningServer, reference: Reference, dialogues: list[Dialogue]
) -> None:
    server = vllm_with_plugin
    text = server.get("/metrics").text
    ours = [
        line for line in text.splitlines() if line.startswith("metacompress_") and "_total{" in line
    ]
    names = {line.partition("{")[0] for line in ours}
    assert {"metacompress_images_total", "metacompress_requests_refused_total"} <= names
    assert all(line.endswith(" 0.0") for line in ours)
    for dialogue in dialogues:
        completion = ask(server.client, dialogue)
        served = served_answer(completion)
        expected = reference.answer(dialogue.prompt, dialogue.images, 8)
        assert served.token_ids == expected.token_ids
        assert served.logprobs == pytest.approx(expected.logprobs, abs=1e-4)
    assert savings(completion) == {
        "image_tokens_original": 128,
        "image_tokens": 12,
        "images_reused": 2,
    }
    assert server.metric("metacompress_vision_tower_runs_total") == 2
    assert server.metric("metacompress_images_total", result="compressed") == 2
    assert server.metric("metacompress_images_total", result="reused") == 3
    assert server.metric("metacompress_image_tokens_total", stage="original") == 5 * 64
    assert server.metric("metacompress_image_tokens_total", stage="kept") == 5 * 6
