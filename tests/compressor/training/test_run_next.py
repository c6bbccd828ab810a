"""Whole runs on LLaVA-NeXT: pictures of different sizes in one batch, m from the size alone."""

import json

import pytest
import torch
from PIL import Image

from metacompress_compressor.adapters import load_adapter
from metacompress_compressor.artifact import load_artifact, verify_against_model


@pytest.fixture
def mixed_folder(dialogue_folder):
    """The dialogues' pictures, brought to sizes that have different layouts."""
    sizes = [(64, 64), (40, 30), (30, 90), (64, 40)]
    for number, size in enumerate(sizes):
        path = dialogue_folder / f"{number}.png"
        with Image.open(path) as picture:
            resized = picture.resize(size)
        resized.save(path)
    return dialogue_folder


@pytest.mark.parametrize("windows", ["1d", "2d"])
@pytest.mark.parametrize("positions", ["kept", "contiguous"])
def test_learns_from_pictures_of_different_sizes(
    train, history, tiny_llava_next, mixed_folder, tmp_path, windows, positions
):
    options = ["--model", str(tiny_llava_next), "--data", str(mixed_folder), "--dtype", "float32"]
    form = ["--windows", windows, "--positions", positions, "--retention", "0.3", "0.6"]
    learning = [
        "--budgets-per",
        "dialogue",
        "--steps",
        "30",
        "--batch-size",
        "10",
        "--lr",
        "0.01",
        "--column-weight",
        "0",
    ]
    train(tmp_path, *options, *form, *learning, "--eval-data", str(mixed_folder))
    records = history(tmp_path)
    assert sum(record["kl"] for record in records[-5:]) < 0.95 * sum(
        record["kl"] for record in records[:5]
    )
    config = load_artifact(tmp_path).config
    verify_against_model(config, tiny_llava_next)
    assert config.base_model.pinpoints == ((32, 64), (64, 32), (64, 64), (96, 32))
    assert [table["retention_ratio"] for table in config.evaluation["budgets"]] == [0.3, 0.6]


def test_a_batch_of_sizes_and_budgets_is_the_sum_of_its_dialogues(
    train, history, tiny_llava_next, mixed_folder, tmp_path
):
    """Pieces of one dialogue have no padding and one layout: the batch must say the same."""
    options = ["--model", str(tiny_llava_next), "--data", str(mixed_folder), "--dtype", "float32"]
    budgets = ["--retention", "0.3", "0.2:0.8", "--budgets-per", "dialogue"]
    train(tmp_path / "whole", *options, *budgets, "--batch-size", "10")
    train(tmp_path / "pieces", *options, *budgets, "--batch-size", "10", "--micro-batch", "1")
    whole, pieces = history(tmp_path / "whole"), history(tmp_path / "pieces")
    for name in ("kl", "entropy", "column", "gradient_norm"):
        expected = [record[name] for record in whole]
        assert [record[name] for record in pieces] == pytest.approx(expected, rel=2e-3)


def test_a_dialogue_that_does_not_fit_with_its_picture_is_named(
    train, tiny_llava_next, mixed_folder, tmp_path, capsys
):
    """A picture of 8 x 8 tiles' tokens takes more positions than one of 4 x 8."""
    adapter = load_adapter(tiny_llava_next)
    small, large = adapter.layout((64, 30)).num_tokens, adapter.layout((64, 64)).num_tokens
    (encoded,) = adapter.dialogues.encode([[_turn("w" * 100)]])
    rest = adapter.max_positions - (len(encoded.token_ids) - 1 - 100) - (small + large) // 2
    path = mixed_folder / "dialogues.jsonl"
    lines = [
        json.dumps({"image": name, "turns": [{"question": "w" * rest, "answer": "no"}]})
        for name in ("0.png", "small.png")
    ]
    Image.new("RGB", (64, 30)).save(mixed_folder / "small.png")
    path.write_text(path.read_text() + "\n".join(lines))
    train(tmp_path, "--model", str(tiny_llava_next), "--data", str(mixed_folder), "--steps", "1")
    shown = capsys.readouterr().err.replace("\n", "")
    assert f"unusable: {path}:11: " in shown
    assert "1 unusable dialogues were left out" in shown
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 1


def _turn(question):
    from metacompress_compressor.adapters import TurnText

    return TurnText(question, "no")
