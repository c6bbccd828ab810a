"""The share of the mapping in a training step, measured on a few steps of the real trainer."""

import json

import pytest
import torch

from benchmarks.training_share import main
from metacompress_compressor.embedded import pictures_dir


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_the_mapping_is_a_part_of_a_step(capsys, threads):
    main(["--data", str(pictures_dir() / "dialogues.jsonl"), "--steps", "3"])
    record = json.loads(capsys.readouterr().out)
    metrics = record["metrics"]
    assert record["benchmark"] == "training_share"
    assert 0 < metrics["mapping_s"]["p50"] < metrics["step_s"]["p50"]
    assert 0 < metrics["share"]["p50"] < 1
