import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import (
    evaluation_records,
    main,
    read_outcomes,
    replace,
    served_metrics,
    table,
)
from benchmarks.records import RESULTS, Record, read

RIGHT = ((True, False), (True, True), (False, True))


def test_equal_verdicts_do_not_differ() -> None:
    found = served_metrics(RIGHT, RIGHT)
    assert found["accuracy"] == found["accuracy_offline"]
    assert found["accuracy"]["value"] == pytest.approx(4 / 6, abs=1e-4)
    assert found["answers"] == 6
    assert found["answers_differing"] == 0
    assert [turn["value"] for turn in found["per_turn"]] == pytest.approx([2 / 3] * 2, abs=1e-4)


def test_every_other_verdict_counts_even_where_the_mean_is_equal() -> None:
    other = ((False, True), (True, True), (False, True))
    found = served_metrics(RIGHT, other)
    assert found["difference"]["value"] == 0
    assert found["answers_differing"] == 2


def test_dialogues_of_unequal_length() -> None:
    found = served_metrics(((True,), (True, False)), ((True,), (True, True)))
    assert found["answers"] == 3
    assert found["answers_differing"] == 1
    assert np.isnan(table(((True,), (True, False)))[0, 1])


def test_outcomes_in_the_order_of_the_dialogues(tmp_path: Path) -> None:
    file = tmp_path / "outcomes.jsonl"
    lines = [
        {"model": "m"},
        {"dialogues": [2, 0], "scores": {"full 1 2d kept x": [[1.0, 0.0], [0.0, 0.0]]}},
        {"dialogues": [1], "scores": {"full 1 2d kept x": [[1.0, 1.0]]}},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_outcomes(file) == {
        "full 1 2d kept x": ((False, False), (True, True), (True, False))
    }


def test_an_evaluations_lines_become_records(tmp_path: Path) -> None:
    source = RESULTS / "embedded.jsonl"
    records = list(evaluation_records(source))
    assert len(records) == len(source.read_text().splitlines())
    full = next(record for record in records if record.cell["kind"] == "full")
    assert full.metrics["prefill_flops_share"] == 1.0
    assert full.cell["tokens"] == 256


def test_a_run_replaces_its_own_lines_alone(tmp_path: Path) -> None:
    file = tmp_path / "accuracy.jsonl"
    origin = dict.fromkeys(("hardware", "versions", "commit", "flags", "command", "when"))

    def one(source: str, value: int, dtype: str = "float32") -> Record:
        return Record("accuracy", {"source": source, "dtype": dtype}, {"value": value}, origin)

    replace(file, [one("server", 1), one("embedded", 2)])
    replace(file, [one("server", 3)])
    replace(file, [one("server", 4, "bfloat16")])
    values = {(r.cell["source"], r.cell["dtype"]): r.metrics["value"] for r in read(file)}
    assert values == {
        ("server", "float32"): 3,
        ("embedded", "float32"): 2,
        ("server", "bfloat16"): 4,
    }


def test_data_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path / "gone"), "--output", str(tmp_path / "out")]) == 1
    assert "gone" in capsys.readouterr().err


def test_committed_records_show_a_server_that_answers_as_evaluated() -> None:
    served = [r for r in read(RESULTS / "accuracy.jsonl") if r.cell["source"] == "server"]
    exact = [record for record in served if record.cell["dtype"] == "float32"]
    assert {record.cell["compressor"] for record in exact} == {True, False}
    assert all(record.cell["dialogues"] >= 100 for record in exact)
    assert all(record.metrics["answers_differing"] == 0 for record in exact)
