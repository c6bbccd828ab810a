"""The learned selector: it learns, it is written and read, and `metacompress eval` takes it."""

import json

import pytest
import torch

from metacompress_compressor.reductions.selector import (
    SelectorError,
    TokenScorer,
    load_selector,
    save_selector,
)
from metacompress_compressor.training import selector


@pytest.fixture
def trained(tiny_llava, dialogue_folder, tmp_path):
    out = tmp_path / "selector"
    where = ["--model", str(tiny_llava), "--data", str(dialogue_folder), "--out", str(out)]
    status = selector.main([*where, "--retention", "0.25", "--steps", "12", "--batch-size", "4"])
    assert status == 0
    return out


def test_a_run_changes_the_scorer_and_can_be_repeated(trained, tiny_llava, dialogue_folder):
    record = json.loads((trained / "selector.json").read_text())
    scorer, _ = load_selector(trained, record["fingerprint"])
    torch.manual_seed(0)
    untrained = TokenScorer(record["hidden_size"])
    assert not torch.equal(scorer.own.weight, untrained.own.weight)
    again = trained.parent / "again"
    where = ["--model", str(tiny_llava), "--data", str(dialogue_folder), "--out", str(again)]
    assert not selector.main([*where, "--retention", "0.25", "--steps", "12", "--batch-size", "4"])
    repeated, _ = load_selector(again, record["fingerprint"])
    assert torch.equal(scorer.own.weight, repeated.own.weight)


def test_a_selector_of_another_model_is_refused(trained):
    with pytest.raises(SelectorError, match="trained for another model"):
        load_selector(trained, "0" * 64)


@pytest.mark.parametrize("damage", ["selector.json", "selector.safetensors"])
def test_damaged_files_are_refused_in_one_line(tmp_path, damage):
    save_selector(tmp_path, TokenScorer(8, 4), {"fingerprint": "f"})
    (tmp_path / damage).write_bytes(b"{")
    with pytest.raises(SelectorError, match="cannot read the selector in") as refusal:
        load_selector(tmp_path, "f")
    assert "\n" not in str(refusal.value)


def test_the_evaluation_takes_it_as_a_baseline(trained, tiny_llava, dialogue_folder, tmp_path):
    from metacompress_compressor.evaluation.job import run_evaluation
    from metacompress_compressor.evaluation.settings import EvalJob
    from metacompress_compressor.training.console import RunConsole

    job = EvalJob(
        model_dir=tiny_llava,
        compressors=(),
        selectors=(trained,),
        data=(dialogue_folder,),
        out=tmp_path,
        retention_ratios=(0.25,),
        methods=(),
        positions=("kept",),
    )
    rows = {record["label"]: record for record in run_evaluation(job, RunConsole(quiet=True))}
    assert rows[f"{trained.name} (learned)"]["kind"] == "prompt-agnostic"
    assert rows[f"{trained.name} (learned)"]["visual_tokens"] == 4


def test_bad_settings_are_one_line(tiny_llava, dialogue_folder, tmp_path, capsys):
    where = ["--model", str(tiny_llava), "--data", str(dialogue_folder), "--out", str(tmp_path)]
    assert selector.main([*where, "--retention", "1.5"]) == 2
    assert "not 1.5" in capsys.readouterr().err
