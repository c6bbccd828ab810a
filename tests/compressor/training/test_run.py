"""Whole runs on a tiny random model: they learn, stop, resume bit for bit, record themselves."""

import json
import signal

import pytest
import torch

from metacompress_compressor.artifact import load_artifact, verify_against_model
from metacompress_compressor.training import cli
from metacompress_compressor.training.checkpoint import CheckpointMismatch
from metacompress_compressor.training.loop import Trainer


def weights(out):
    return load_artifact(out).mapping.state_dict()


def assert_same_bits(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def stop_after(monkeypatch, steps):
    """Ctrl-C in the middle of step number `steps`."""
    original = Trainer._train_step

    def interrupted(self, step):
        if step == steps - 1:
            signal.raise_signal(signal.SIGINT)
        return original(self, step)

    monkeypatch.setattr(Trainer, "_train_step", interrupted)


@pytest.mark.parametrize("method", ["row_softmax", "competing"])
@pytest.mark.parametrize("windows", ["1d", "2d"])
@pytest.mark.parametrize("positions", ["kept", "contiguous"])
def test_learns_to_imitate_the_full_model(train, history, tmp_path, method, windows, positions):
    form = ["--method", method, "--windows", windows, "--positions", positions]
    whole = ["--batch-size", "10", "--steps", "40", "--lr", "0.01", "--column-weight", "0"]
    train(tmp_path, *form, *whole, "--dtype", "float32", "--initial-mass", "0.5")
    records = history(tmp_path)
    assert records[-1]["kl"] < 0.9 * records[0]["kl"]
    config = load_artifact(tmp_path).config
    assert (config.method, config.windows, config.positions) == (method, windows, positions)
    assert config.position_code == f"sinusoidal_{windows}"


def test_conditioning_is_learned_where_it_is_asked_for(train, tmp_path):
    for conditioning in ("budget", "none"):
        out = tmp_path / conditioning
        train(out, "--conditioning", conditioning, "--retention", "0.25", "0.5")
        assert load_artifact(out).config.conditioning == conditioning
    learned = weights(tmp_path / "budget")
    assert learned["budget_scale"].any()
    assert learned["budget_shift"].any()
    assert learned.keys() - weights(tmp_path / "none").keys() == {"budget_scale", "budget_shift"}


def test_the_artifact_records_the_run(train, tmp_path, tiny_llava, dialogue_folder):
    result = train(tmp_path, "--eval-data", str(dialogue_folder), "--seed", "7")
    assert result.finished
    config = load_artifact(tmp_path).config
    assert config == result.config
    verify_against_model(config, tiny_llava)
    assert config.training["seed"] == 7
    assert config.training["steps"] == 6
    assert config.training["versions"]["torch"] == torch.__version__
    assert len(config.data_digest) == 64
    (table,) = config.evaluation["budgets"]
    assert table["dialogues"] == 10
    assert list(table["methods"]) == ["full", "sample", "avgpool_2d", "mapping"]
    assert table["methods"]["full"]["visual_tokens"] == 16
    assert table["methods"]["mapping"]["visual_tokens"] == 4
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_same_seed_same_bits_other_seed_other_bits(train, tmp_path):
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        train(tmp_path / name, "--seed", seed)
    assert_same_bits(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not torch.equal(weights(tmp_path / "a")["beta"], weights(tmp_path / "c")["beta"])


def test_a_cached_teacher_teaches_the_same(train, history, tmp_path):
    options = ["--dtype", "float32", "--cache-dir", str(tmp_path / "cache")]
    train(tmp_path / "fresh", *options)
    train(tmp_path / "cached", *options, "--cache-teacher")
    assert len(list((tmp_path / "cache").glob("teacher-*.bin"))) == 1
    losses = [[record["kl"] for record in history(tmp_path / name)] for name in ("fresh", "cached")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize("teacher", [[], ["--cache-teacher"]])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_resumed_run_ends_with_the_bits_of_an_uninterrupted_one(
    train, history, tmp_path, monkeypatch, dtype, teacher
):
    options = ["--dtype", dtype, "--retention", "0.25", "0.5", *teacher]
    train(tmp_path / "whole", *options)
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        stopped = train(tmp_path / "parts", *options)
    assert (stopped.finished, stopped.steps) == (False, 4)
    assert not (tmp_path / "parts" / "config.json").exists()
    assert train(tmp_path / "parts", *options, "--resume").finished
    assert_same_bits(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert history(tmp_path / "whole") == history(tmp_path / "parts")


def test_an_error_within_a_step_leaves_a_checkpoint(train, tmp_path, monkeypatch):
    original = Trainer._train_step

    def out_of_memory(self, step):
        if step == 2:
            raise torch.OutOfMemoryError("no memory")
        return original(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_train_step", out_of_memory)
        with pytest.raises(torch.OutOfMemoryError):
            train(tmp_path / "parts")
    train(tmp_path / "whole")
    train(tmp_path / "parts", "--resume")
    assert_same_bits(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_resume_refuses_another_run(train, tmp_path):
    with pytest.raises(CheckpointMismatch, match=r"there is no .*checkpoint\.pt"):
        train(tmp_path, "--resume")
    train(tmp_path)
    with pytest.raises(CheckpointMismatch, match=r"learning_rate was 0\.001 .* is now 0\.002"):
        train(tmp_path, "--resume", "--lr", "0.002")
    (tmp_path / "checkpoint.pt").write_bytes(b"broken")
    with pytest.raises(CheckpointMismatch, match="is not a checkpoint"):
        train(tmp_path, "--resume")


def test_command_line_prints_the_result_as_json(parse, tmp_path, capsys):
    assert cli.run(parse(tmp_path)) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["finished"]
    assert result["weights_sha256"] == load_artifact(tmp_path).config.weights_sha256


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--retention", "2"], "retention must be between 0 and 1"),
        (["--data", "nowhere.jsonl"], "cannot read nowhere.jsonl"),
        (["--model", "nowhere"], "nowhere is not a model folder"),
        (["--resume"], "cannot resume"),
    ],
)
def test_command_line_names_bad_input_in_one_line(parse, tmp_path, capsys, options, message):
    assert cli.run(parse(tmp_path, *options)) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("metacompress train: ")
    assert message in last


def test_command_line_reports_unusable_lines(parse, dialogue_folder, tmp_path, capsys):
    path = dialogue_folder / "dialogues.jsonl"
    long = {"image": "0.png", "turns": [{"question": "why?" * 200, "answer": "no"}]}
    path.write_text(path.read_text() + "{}\n" + json.dumps(long) + "\n")
    assert cli.run(parse(tmp_path)) == 0
    shown = capsys.readouterr().err.replace("\n", "")
    assert f"{path}:11: image is None" in shown
    assert f"{path}:12: " in shown
    assert "the model has 512" in shown
    assert "2 unusable dialogues were left out" in shown
