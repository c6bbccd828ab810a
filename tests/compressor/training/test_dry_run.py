"""A dry run writes nothing, and its estimate is near what the run then takes."""

import json
import time

import pytest

from metacompress_compressor.training import cli


@pytest.fixture
def estimate(parse, capsys):
    def run(out, *options):
        assert cli.run(parse(out, *options, "--dry-run")) == 0
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


def test_it_writes_nothing_and_names_every_stage(estimate, dialogue_folder, tmp_path):
    options = ["--answers", "teacher", "--cache-teacher", "--eval-data", str(dialogue_folder)]
    found = estimate(tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()
    stages = ("reading", "visual_tokens", "teacher_answers", "teacher_logits", "evaluation")
    assert set(found["seconds"]) == {*stages, "training"}
    assert (found["dialogues"], found["pictures"], found["steps"]) == (10, 8, 6)
    assert 0.1 < found["peak_memory_gib"]["host"] < 16
    assert found["total_seconds"] == pytest.approx(sum(found["seconds"].values()), abs=0.5)


def test_sizes_of_the_caches_are_those_of_the_run(estimate, train, dialogue_folder, tmp_path):
    """With enough dialogues to survive the rounding."""
    options = ["--cache-teacher", "--dtype", "float32", "--retention", "0.25"]
    path = dialogue_folder / "dialogues.jsonl"
    path.write_text(path.read_text() * 30)
    found = estimate(tmp_path / "out", *options)
    train(tmp_path / "out", *options)
    (teacher,) = (tmp_path / "out" / "cache").glob("teacher-*.bin")
    assert found["cache_gib"]["teacher_logits"] == round(teacher.stat().st_size / 2**30, 4) > 0


def test_cached_visual_tokens_cost_no_time(estimate, train, tmp_path):
    assert estimate(tmp_path / "out")["seconds"]["visual_tokens"] >= 0
    train(tmp_path / "out")
    assert estimate(tmp_path / "out")["seconds"]["visual_tokens"] == 0


def test_time_is_estimated_within_a_factor_of_four(estimate, train, tmp_path):
    options = ["--steps", "60", "--batch-size", "8"]
    found = estimate(tmp_path / "out", *options)
    started = time.perf_counter()
    train(tmp_path / "out", *options)
    took = time.perf_counter() - started
    assert took / 4 < found["total_seconds"] < took * 4


def test_it_does_not_go_on_from_a_checkpoint(parse, tmp_path, capsys):
    assert cli.run(parse(tmp_path, "--dry-run", "--resume")) == 2
    assert "leave out --resume" in capsys.readouterr().err
