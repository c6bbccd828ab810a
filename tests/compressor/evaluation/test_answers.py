"""What counts as right: the data's answers, or the full model's own."""

import json

import pytest

from metacompress_compressor.embedded import model_dir, pictures_dir
from metacompress_compressor.evaluation.job import run_evaluation
from metacompress_compressor.evaluation.outcomes import OutcomesMismatch
from metacompress_compressor.evaluation.settings import EvalJob
from metacompress_compressor.training.console import RunConsole


@pytest.fixture
def unheard_of(tmp_path):
    """Dialogues about the embedded pictures whose answers the model would never give."""
    file = tmp_path / "dialogues.jsonl"
    lines = (pictures_dir() / "dialogues.jsonl").read_text().splitlines()
    dialogues = [json.loads(line) for line in lines]
    for dialogue in dialogues:
        dialogue["image"] = str(pictures_dir() / dialogue["image"])
        for turn in dialogue["turns"]:
            turn["answer"] = "The key is a key."
    file.write_text("".join(json.dumps(dialogue) + "\n" for dialogue in dialogues))
    return file


def evaluate(file, out, answers):
    job = EvalJob(
        model_dir=model_dir(),
        compressors=(),
        data=(file,),
        out=out,
        retention_ratios=(0.1,),
        methods=("sample",),
        positions=("kept",),
        answers=answers,
    )
    return {record["kind"]: record for record in run_evaluation(job, RunConsole(quiet=True))}


def test_the_full_model_agrees_with_itself_and_not_with_the_data(unheard_of, tmp_path):
    by_data = evaluate(unheard_of, tmp_path / "data", "data")
    assert by_data["full"]["accuracy"]["value"] == 0
    by_itself = evaluate(unheard_of, tmp_path / "itself", "full-model")
    assert by_itself["full"]["accuracy"]["value"] == 1
    assert by_itself["prompt-agnostic"]["accuracy"]["value"] < 1
    assert by_itself["full"]["scoring"].endswith("right is what the full model says")


def test_scores_by_other_answers_are_not_mixed(unheard_of, tmp_path):
    evaluate(unheard_of, tmp_path, "data")
    with pytest.raises(OutcomesMismatch):
        evaluate(unheard_of, tmp_path, "full-model")
