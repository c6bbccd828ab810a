"""Loads hold their dialogues as asked, stop by themselves, and go to this machine only."""

import asyncio
import json
import time
from dataclasses import replace

import pytest

from benchmarks.serving import client, probe
from benchmarks.serving.addresses import NotLoopbackError, loopback
from benchmarks.serving.load import run_load
from benchmarks.serving.turns import Answers, Load, Outcome

ELSEWHERE = ["http://192.0.2.1:8000", "https://example.org", "http://10.0.0.1", "http://", "x"]


def run(load, transport):
    return asyncio.run(run_load(load, transport))


@pytest.mark.parametrize("url", ELSEWHERE)
def test_no_connection_to_another_machine(url, load, scripted):
    transport = scripted()
    with pytest.raises(NotLoopbackError):
        run(replace(load(), url=url), transport)
    assert not transport.seen


@pytest.mark.parametrize("url", ELSEWHERE)
@pytest.mark.parametrize("measure", [client.hold, lambda one: client.probe("fit", one)])
def test_no_process_for_another_machine(url, measure, load, monkeypatch):
    monkeypatch.setattr(client.subprocess, "run", lambda *_, **__: pytest.fail("started"))
    with pytest.raises(NotLoopbackError):
        measure(replace(load(), url=url))


@pytest.mark.parametrize("measure", [probe.fit, probe.footprint])
def test_no_probe_of_another_machine(measure, load):
    with pytest.raises(NotLoopbackError):
        asyncio.run(measure(replace(load(), url="http://192.0.2.1:8000")))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://[::1]:1", "http://localhost:8000"]
)
def test_this_machine_is_fine(url):
    assert loopback(url) == url


def test_every_turn_is_asked_and_carries_what_was_said(load, scripted):
    transport = scripted(lambda body: "yes." if len(body["messages"]) == 1 else "maybe not")
    outcome = run(load(2), transport)
    assert [(turn.dialogue, turn.number, turn.right) for turn in outcome.turns] == [
        ("d0", 0, True),
        ("d0", 1, False),
        ("d1", 0, True),
        ("d1", 1, False),
    ]
    assert [message["content"] for message in transport.seen[1]["messages"][1:]] == [
        "yes.",
        "And now?",
    ]
    assert transport.seen[0]["messages"][0]["content"][0]["type"] == "image_url"
    turn = outcome.turns[1]
    assert (turn.tokens, turn.cached_tokens, turn.image_tokens, len(turn.gaps_s)) == (2, 32, 25, 1)
    assert outcome.moved["tower_runs"] == 4
    assert outcome.moved["preemptions"] == 0


def test_scripted_answers_stand_in_the_dialogue_and_have_their_length(load, scripted):
    answers = Answers(max_tokens=2, scripted=True, image_tokens=25)
    transport = scripted(lambda body: "two words" if len(body["messages"]) == 1 else "one")
    outcome = run(load(1, answers), transport)
    assert transport.seen[1]["messages"][1]["content"] == "Yes."
    assert transport.seen[0]["ignore_eos"]
    assert [turn.failure for turn in outcome.turns] == [None, "1 tokens instead of 2"]
    assert [turn.right for turn in outcome.turns] == [None, None]


def test_another_number_of_visual_tokens_is_a_failure(load, scripted):
    answers = Answers(max_tokens=8, scripted=False, image_tokens=256)
    (turn,) = run(load(1, answers), scripted()).turns
    assert turn.failure == "25 visual tokens instead of 256"


def test_a_refused_question_is_counted_and_ends_its_dialogue_alone(load, scripted):
    transport = scripted(lambda body: None if len(transport.seen) == 1 else "yes")
    outcome = run(load(2), transport)
    assert [turn.failure is None for turn in outcome.turns] == [False, True, True]
    assert "503" in outcome.turns[0].failure


def test_closed_loop_has_so_many_at_once(load, scripted):
    transport = scripted(seconds=0.01)
    run(load(6, at_once=3), transport)
    assert transport.most_at_once == 3
    assert len(transport.seen) == 12


def test_rounds_ask_everybody_before_anybody_again(load, scripted):
    transport = scripted()
    outcome = run(load(3, loop="rounds"), transport)
    assert [turn.number for turn in outcome.turns] == [0, 0, 0, 1, 1, 1]


def test_open_loop_does_not_wait_and_arrives_the_same_each_time(load, scripted):
    transport = scripted(seconds=0.05)
    first = run(load(5, loop="open", rate=1000.0, seed=3), transport)
    assert transport.most_at_once == 5
    again = run(load(5, loop="open", rate=1000.0, seed=3), scripted())
    assert len(first.turns) == len(again.turns) == 10


def test_a_load_stops_itself_and_counts_what_is_missing(load, scripted):
    started = time.monotonic()
    outcome = run(load(3, longest_s=0.2), scripted(seconds=5.0))
    assert time.monotonic() - started < 2.0
    assert [turn.failure for turn in outcome.turns] == ["out of time"] * 6


def test_loads_and_outcomes_survive_the_way_to_the_client(load, scripted):
    one = load(2, at_once=2, think_s=0.1)
    assert Load.read(json.loads(client.as_json(one))) == one
    outcome = run(load(1), scripted())
    assert Outcome.read(json.loads(client.as_json(outcome))) == outcome
