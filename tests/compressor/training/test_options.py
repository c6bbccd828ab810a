"""Options that change how a run computes, not what: each is seen to be obeyed."""

from collections import Counter

import pytest
import torch
from tensorboardX.proto.event_pb2 import Event

from metacompress_compressor.adapters import TurnText, load_adapter
from metacompress_compressor.artifact import load_artifact
from metacompress_compressor.training import cli
from metacompress_compressor.training.dialogues import read_dialogues
from metacompress_compressor.training.loop import Trainer
from metacompress_compressor.training.settings import SettingsError


def events(folder):
    """All events of a folder's files: records of length, checksum, event, checksum."""
    for file in sorted(folder.glob("events.*")):
        data = file.read_bytes()
        while data:
            length = int.from_bytes(data[:8], "little")
            yield Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]


def curve(folder, name):
    return {
        event.step: value.simple_value
        for event in events(folder)
        for value in event.summary.value
        if value.tag == name
    }


def test_tensorboard_holds_every_step_of_every_sitting(train, history, tmp_path, monkeypatch):
    options = ["--tensorboard", str(tmp_path / "events")]
    original = Trainer._train_step

    def fail(self, step):
        if step == 4:
            raise torch.OutOfMemoryError("no memory")
        return original(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_train_step", fail)
        with pytest.raises(torch.OutOfMemoryError):
            train(tmp_path / "out", *options)
    train(tmp_path / "out", *options, "--resume")
    records = history(tmp_path / "out")
    for name in ("kl", "gradient_norm"):
        expected = {step: record[name] for step, record in enumerate(records, start=1)}
        assert curve(tmp_path / "events", f"train/{name}") == pytest.approx(expected)
    assert len(list((tmp_path / "events").iterdir())) == 2


def test_gradient_checkpointing_computes_layers_again_and_changes_nothing(
    train, history, tmp_path, tiny_llava
):
    options = ["--dtype", "float32"]
    train(tmp_path / "plain", *options)
    train(tmp_path / "checkpointed", *options, "--gradient-checkpointing")
    plain, checkpointed = (history(tmp_path / name) for name in ("plain", "checkpointed"))
    for name in ("kl", "gradient_norm"):
        expected = [record[name] for record in plain]
        assert [record[name] for record in checkpointed] == pytest.approx(expected, rel=1e-4)

    adapter = load_adapter(tiny_llava)
    calls = Counter()
    layer = adapter.model.model.language_model.layers[0].mlp
    layer.register_forward_pre_hook(lambda *_: calls.update(["mlp"]))
    adapter.checkpoint_gradients()
    hidden = torch.randn(1, 3, 32, requires_grad=True)
    outputs = adapter.model.model.language_model(inputs_embeds=hidden, use_cache=False)
    outputs.last_hidden_state.sum().backward()
    assert calls["mlp"] == 2
    assert not layer.training, "what is inside a layer must not drop out"


def test_clipping_by_value_bounds_every_entry(train, tmp_path, monkeypatch):
    largest = []
    original = torch.optim.AdamW.step

    def step(self, *args):
        groups = [p for group in self.param_groups for p in group["params"]]
        largest.append(max(float(p.grad.abs().max()) for p in groups))
        return original(self, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    train(tmp_path / "free", "--clip", "0", "--steps", "2")
    train(tmp_path / "bound", "--clip", "1e-6", "--clip-by", "value", "--steps", "2")
    assert max(largest[:2]) > 1e-6
    assert max(largest[2:]) == pytest.approx(1e-6)


def test_the_entropy_term_sets_in_with_its_ramp(train, history, tmp_path):
    """Until the ramp begins, a run with the term is one without it, step for step."""
    train(tmp_path / "without")
    train(tmp_path / "late", "--entropy-weight", "1", "--entropy-ramp", "0.5", "0.9")
    without, late = history(tmp_path / "without"), history(tmp_path / "late")
    assert late[:4] == without[:4]
    for record, weight in zip(
        late, [0, 0, 0, 0, (4 / 6 - 0.5) / 0.4, (5 / 6 - 0.5) / 0.4], strict=True
    ):
        expected = record["kl"] + weight * record["entropy"] + 0.03 * record["column"]
        assert record["loss"] == pytest.approx(expected)


def test_teacher_s_answers_are_what_generation_says(
    train, tmp_path, tiny_llava, dialogue_folder, monkeypatch
):
    adapter = load_adapter(tiny_llava)
    seen = []
    original = Trainer.__init__

    def keep(self, student, *rest):
        seen.append(student._corpus)
        original(self, student, *rest)

    monkeypatch.setattr(Trainer, "__init__", keep)
    train(tmp_path, "--answers", "teacher", "--steps", "1")
    (corpus,) = seen
    asked = {dialogue.source: dialogue for dialogue in read_dialogues([dialogue_folder]).dialogues}
    assert len(corpus) >= 5
    for index, dialogue in enumerate(corpus.dialogues):
        history = []
        for turn, original_turn in zip(dialogue.turns, asked[dialogue.source].turns, strict=True):
            assert turn.question == original_turn.question
            turns = [*history, TurnText(turn.question, "x")]
            prompt = adapter.dialogues.encode_prompt(turns)
            (said,) = adapter.generate([prompt], [corpus.visual(index, adapter.device)], 128)
            assert turn.answer == said
            history.append(TurnText(turn.question, said))
    assert len(list((tmp_path / "cache").glob("answers-*.json"))) == 1


def test_the_record_tells_data_machine_and_time(train, tmp_path):
    train(tmp_path)
    record = load_artifact(tmp_path).config.training
    assert record["data"] == {"dialogues": 10, "turns": 19, "pictures": 8, "unusable": 0}
    assert record["train_seconds"] > 0
    assert record["hardware"]["processes"] == 1
    assert record["hardware"]["memory_gib"] > 0
    assert record["versions"]["accelerate"]


def test_a_range_of_budgets_is_recorded(train, dialogue_folder, tmp_path):
    train(tmp_path, "--retention", "0.25", "0.25", "0.2:0.6", "--eval-data", str(dialogue_folder))
    config = load_artifact(tmp_path).config
    assert config.retention_ratio == 0.25
    assert config.trained_retention_ratios == (0.2, 0.25, 0.6)
    measured = [table["retention_ratio"] for table in config.evaluation["budgets"]]
    assert measured == [0.25, 0.2, 0.6]
    assert config.trained_retention_range == (0.2, 0.6)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["0.1"], ((0.1,), None)),
        (["0.1", "0.5"], ((0.1, 0.5), None)),
        (["0.05:0.5"], ((0.05, 0.5), (0.05, 0.5))),
        (["0.1", "0.05:0.5"], ((0.1,), (0.05, 0.5))),
    ],
)
def test_budgets_on_the_command_line(words, expected):
    assert cli.budgets_from(words) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ten"], "'ten' is no ratio and no range"),
        (["0.1:b"], "'0.1:b' is no ratio"),
        (["0.1:0.2", "0.3:0.4"], "0.3:0.4 is a second one"),
    ],
)
def test_budgets_that_are_none(words, message):
    with pytest.raises(SettingsError, match=message):
        cli.budgets_from(words)


def test_out_of_memory_is_one_line_of_advice(parse, tmp_path, monkeypatch, capsys):
    def fail(self, step):
        raise torch.OutOfMemoryError("CUDA out of memory.\nDetails")

    monkeypatch.setattr(Trainer, "_train_step", fail)
    assert cli.run(parse(tmp_path)) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("metacompress train: CUDA out of memory.; go on with --resume and a")
    assert (tmp_path / "checkpoint.pt").exists()
