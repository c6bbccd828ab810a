"""Records of made-up scores: figures and leads as computed by hand."""

import pytest
import torch

from metacompress_compressor.evaluation.contestants import baselines, mappings, trials_of
from metacompress_compressor.evaluation.records import ScoreBoard, significant


@pytest.fixture
def board(corpus, make_artifact):
    """Ten dialogues of one to three turns. Sample is right in every first turn, DivPrune in every
    second, FastV always; the mapping in all but the third."""
    contestants = [
        *baselines(["sample", "divprune", "fastv_turn_1"]),
        *mappings([make_artifact("ours")], torch.device("cpu")),
    ]
    trials = trials_of(contestants, [0.25], ["kept"])
    pattern = {
        "full": (1, 1, 1),
        "sample": (1, 0, 0),
        "divprune": (0, 1, 0),
        "fastv_turn_1": (1, 1, 1),
        "ours": (1, 1, 0),
    }
    scores = {
        trial: {
            index: list(map(float, pattern[trial.method.name][: len(dialogue.turns)]))
            for index, dialogue in enumerate(corpus.dialogues)
        }
        for trial in trials
    }
    return trials, ScoreBoard(corpus, trials, scores)


def record_of(board, name):
    trials, score_board = board
    return next(score_board.record(trial) for trial in trials if trial.method.name == name)


def test_figures(board):
    """19 turns: 10 first, 6 second, 3 third ones; the second turn's kind is `count`."""
    record = record_of(board, "ours")
    assert record["accuracy"]["value"] == pytest.approx(16 / 19, abs=1e-4)
    assert record["retention"]["value"] == pytest.approx(16 / 19, abs=1e-4)
    assert [turn["value"] for turn in record["per_turn"]] == [1, 1, 0]
    assert record["per_kind"] == {"count": 1.0, "place": pytest.approx(10 / 13, abs=1e-4)}
    assert record["visual_tokens"] == 4
    assert record["trained_positions"] == "kept"


def test_lead_is_over_the_best_prompt_agnostic_baseline(board):
    lead = record_of(board, "ours")["lead"]
    assert lead["overall"]["over"] == "Sample"
    assert lead["overall"]["value"] == pytest.approx(6 / 19, abs=1e-4)
    assert significant(lead["overall"])
    over = [turn["over"] for turn in lead["per_turn"]]
    assert over[:2] == ["Sample", "DivPrune"]
    assert [turn["value"] for turn in lead["per_turn"]] == [0, 0, 0]
    assert not significant(lead["per_turn"][0])


def test_baselines_have_no_lead(board):
    assert "lead" not in record_of(board, "sample")
