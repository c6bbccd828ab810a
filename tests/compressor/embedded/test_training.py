import json

import pytest
import torch

from metacompress_compressor.embedded import loop
from metacompress_compressor.embedded.loop import run_stage
from metacompress_compressor.embedded.stages import (
    AlignmentStage,
    JointStage,
    LanguageStage,
    Student,
    TowerStage,
)
from metacompress_compressor.embedded.train import STEPS, load_earlier_stages, make_stage

STAGES = {
    "tower": lambda student: TowerStage(student, 2, batch_size=2),
    "language": lambda student: LanguageStage(student, 2, batch_size=2, varied=True),
    "alignment": lambda student: AlignmentStage(student, 2, batch_size=2),
    "joint": lambda student: JointStage(
        student, 2, batch_size=2, num_turns=2, kinds=["where", "count"]
    ),
}


def _student() -> Student:
    torch.manual_seed(0)
    return Student()


@pytest.mark.parametrize("name", STAGES)
def test_an_interrupted_stage_ends_with_the_same_bits(name, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_CHECKPOINT_EVERY", 1)
    whole, first, second = _student(), _student(), _student()
    for student, folder in ((whole, "whole"), (first, "parts")):
        (tmp_path / folder).mkdir()
        stage = STAGES[name](student)
        if folder == "parts":
            monkeypatch.setattr(stage, "loss", _stop_after(stage.loss, 1))
            with pytest.raises(KeyboardInterrupt):
                run_stage(stage, student, tmp_path / folder, seed=1)
        else:
            run_stage(stage, student, tmp_path / folder, seed=1)
    run_stage(STAGES[name](second), second, tmp_path / "parts", seed=1)
    before = _student().state_dict()
    after, resumed = whole.state_dict(), second.state_dict()
    assert all(torch.equal(after[key], resumed[key]) for key in after)
    assert any(not torch.equal(after[key], before[key]) for key in after)
    record = json.loads((tmp_path / "whole" / f"{name}.jsonl").read_text().splitlines()[0])
    assert record["step"] == 0
    assert record["loss"] > 0


def _stop_after(loss, calls):
    left = iter(range(calls))

    def limited(rng):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return loss(rng)

    return limited


def test_later_stages_take_over_what_earlier_ones_learned(tmp_path):
    parts = {}
    for name in ("tower", "dialogue", "alignment"):
        torch.manual_seed(len(name))
        parts[name] = Student()
        torch.save({"student": parts[name].state_dict(), "step": 1}, tmp_path / f"{name}.pt")
    student = _student()
    load_earlier_stages(student, tmp_path, "joint")
    model = student.model.model
    for name, part in (
        ("tower", "vision_tower"),
        ("dialogue", "language_model"),
        ("alignment", "multi_modal_projector"),
    ):
        taken = getattr(model, part).state_dict()
        given = getattr(parts[name].model.model, part).state_dict()
        assert all(torch.equal(taken[key], given[key]) for key in given)


def test_a_missing_stage_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tower\.pt is missing: stage joint"):
        load_earlier_stages(_student(), tmp_path, "joint")


def test_every_stage_can_be_made(student):
    assert [make_stage(name, student, 3).name for name in STEPS] == list(STEPS)
