"""Probes count blocks rightly, and say when they cannot."""

import asyncio
from dataclasses import replace

import pytest

from benchmarks.serving import probe
from benchmarks.serving.counters import labels, parse, total
from benchmarks.serving.probe import ProbeError, held_tokens
from benchmarks.serving.turns import Turn

PAGE = """# TYPE vllm:num_preemptions_total counter
vllm:num_preemptions_total{engine="0"} 2.0
vllm:num_preemptions_total{engine="1"} 3.0
vllm:num_preemptions_total_created{engine="0"} 9e9
vllm:cache_config_info{block_size="32",engine="0",num_gpu_blocks="66"} 1.0
"""


def turn(prompt, image, block=32):
    """What an engine with blocks of `block` finds of a prompt that it has just seen."""
    found = (prompt - 1) // block * block
    return Turn("d", 0, 0.0, prompt_tokens=prompt, cached_tokens=found, image_tokens=image)


@pytest.mark.parametrize("image", [1, 12, 25, 256, 576])
def test_the_picture_is_what_the_text_leaves(image):
    turns = [turn(image + 11 + extra, image) for extra in range(32)]
    assert held_tokens(turns, 32) == image


def test_an_engine_that_holds_more_than_it_counts_is_noticed():
    turns = [replace(turn(267 + extra, 256), image_tokens=25) for extra in range(32)]
    turns = [replace(one, prompt_tokens=one.prompt_tokens - 231) for one in turns]
    assert held_tokens(turns, 32) == 256


def test_texts_of_all_lengths_are_needed():
    with pytest.raises(ProbeError, match="31 lengths"):
        held_tokens([turn(40 + extra, 25) for extra in [*range(31), 0]], 32)


@pytest.mark.parametrize(("remembered", "fitting"), [(0, 0), (2, 2)])
def test_sessions_fit_until_the_first_that_is_forgotten(
    remembered, fitting, load, scripted, monkeypatch
):
    transport = scripted()
    one = load(4)
    asked = []

    async def ask(self, number):
        asked.append((self._dialogue.name, number))
        found = 25 if number == 0 or len(asked) <= 4 + remembered else 0
        return Turn("d", number, 0.0, cached_tokens=found, image_tokens=25)

    monkeypatch.setattr(probe.Conversation, "ask", ask)
    monkeypatch.setattr(
        probe, "_client", lambda _: probe.httpx.AsyncClient(base_url=one.url, transport=transport)
    )
    found = asyncio.run(probe.fit(one))
    assert (found.fitting, found.opened, found.capacity_tokens) == (fitting, 4, 128)
    assert asked[4] == ("d3", 1)


def test_too_few_sessions_are_no_measurement(load, scripted, monkeypatch):
    transport = scripted()
    one = load(3)
    monkeypatch.setattr(
        probe, "_client", lambda _: probe.httpx.AsyncClient(base_url=one.url, transport=transport)
    )
    with pytest.raises(ProbeError, match="all 3 sessions fitted"):
        asyncio.run(probe.fit(one))


def test_counters_are_summed_over_their_labels_and_no_others():
    assert parse(PAGE)["preemptions"] == 5.0
    assert parse(PAGE)["tower_runs"] == 0.0
    assert total(PAGE, "vllm:num_preemptions") == 0.0
    assert labels(PAGE, "vllm:cache_config_info")["num_gpu_blocks"] == "66"
    with pytest.raises(ValueError, match="no series"):
        labels(PAGE, "vllm:gone")
