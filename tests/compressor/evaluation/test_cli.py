"""The whole command on the tiny model: files, summary, going on, and input that cannot be used."""

import argparse
import json

import pytest
from PIL import Image

from metacompress_compressor.evaluation import cli, job
from metacompress_compressor.evaluation.contestants import BASELINES
from metacompress_compressor.windows import Grid, num_compressed_tokens


def run(*options):
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return cli.run(parser.parse_args([str(option) for option in options]))


@pytest.fixture
def good(tiny_llava, dialogue_folder, make_artifact, tmp_path):
    compressor = make_artifact("ours")
    where = ["--model", tiny_llava, "--data", dialogue_folder, "--out", tmp_path / "out"]
    return [*where, "--compressor", compressor]


def records_of(tmp_path):
    return [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]


def test_everything_is_tried_and_written(good, tmp_path, capsys):
    assert run(*good, "--retention", 0.5, 0.25) == 0
    records = records_of(tmp_path)
    budgets, rules, extra = 2, 2, 1  # sampling at the one-dimensional rule too
    assert len(records) == 1 + (len(BASELINES) + 1 + extra) * budgets * rules
    assert {r["method"] for r in records} == {"full", *BASELINES, "ours"}
    for record in records:
        budget = num_compressed_tokens(Grid(4, 4), record["retention_ratio"], record["windows"])
        assert record["visual_tokens"] == budget
    assert all(len(r["per_turn"]) == 3 and r["turns"] == 19 for r in records)
    full = records[0]
    assert full["retention"]["value"] == (1 if full["accuracy"]["value"] else None)
    assert {"commit", "versions", "hardware", "data_digest"} <= full.keys()
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["dialogues"] == 10
    assert [m["name"] for m in summary["mappings"]] == ["ours"] * 4
    for name in ("accuracy.png", "turns.png"):
        with Image.open(tmp_path / "out" / name) as plot:
            assert plot.width > 600
    report = (tmp_path / "out/report.md").read_text()
    assert "| **ours** |" in report
    assert "| PruMerge+ |" in report


def test_goes_on_without_repeating(good, tmp_path, make_artifact, monkeypatch, capsys):
    short = [*good, "--retention", 0.25, "--methods", "sample", "--positions", "kept"]
    assert run(*short) == 0
    before = records_of(tmp_path)
    tried = []

    def counted(adapter, corpus, indices, trials):
        tried.extend(trial.method.name for trial in trials)
        return score_batch(adapter, corpus, indices, trials)

    score_batch = job.score_batch
    monkeypatch.setattr(job, "score_batch", counted)
    assert run(*short) == 0
    assert not tried
    unlike = {"reduction", "prefill", "commit"}
    assert [{k: v for k, v in r.items() if k not in unlike} for r in before] == [
        {k: v for k, v in r.items() if k not in unlike} for r in records_of(tmp_path)
    ]
    assert run(*short, "--compressor", good[-1], make_artifact("more", seed=3)) == 0
    assert set(tried) == {"more"}
    capsys.readouterr()


def test_a_method_that_the_family_cannot_have_is_left_out_by_name(
    good, tmp_path, monkeypatch, capsys
):
    from metacompress_compressor.adapters import Adapter
    from metacompress_compressor.adapters.llava import LlavaAdapter

    monkeypatch.setattr(LlavaAdapter, "vision_context", Adapter.vision_context)
    assert run(*good, "--retention", 0.25, "--methods", "tome", "sample") == 0
    assert "ToMe is left out" in capsys.readouterr().err
    assert {r["method"] for r in records_of(tmp_path)} == {"full", "sample", "ours"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--retention", "1.5"], "retention must be between 0 and 1, not 1.5"),
        (["--limit", "-1"], "limit must not be negative"),
        (["--data", "nowhere.jsonl"], "cannot read nowhere.jsonl"),
        (["--model", "nowhere"], "nowhere"),
        (["--compressor", "nowhere"], "cannot read nowhere/config.json"),
    ],
)
def test_bad_input_is_named(good, capsys, options, message):
    assert run(*good, *options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_another_evaluation_is_not_mixed_in(good, capsys):
    short = [*good, "--retention", 0.25, "--methods", "sample"]
    assert run(*short, "--limit", 5) == 0
    assert run(*short) == 2
    assert "scores of another data" in capsys.readouterr().err


def test_the_models_own_answers_can_be_scored(good, tmp_path, capsys):
    short = [*good, "--retention", 0.25, "--methods", "sample", "fastv_turn_1", "--limit", 3]
    assert run(*short, "--scoring", "generated", "--positions", "kept") == 0
    records = records_of(tmp_path)
    assert {r["method"] for r in records} == {"full", "sample", "ours"}
    assert all(record["scoring"].startswith("the model's own answers") for record in records)
    capsys.readouterr()
