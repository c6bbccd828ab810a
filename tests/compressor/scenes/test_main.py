import json
import sys

import numpy as np
import pytest
from PIL import Image

from metacompress_compressor.scenes import __main__ as command


def _run(monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["scenes", *arguments])
    command.main()


def test_writes_pictures_and_dialogues_that_depend_on_seed_and_index_alone(tmp_path, monkeypatch):
    for name, count in (("short", "2"), ("long", "4")):
        _run(monkeypatch, "--seed", "9", "--count", count, "--out", str(tmp_path / name))
    lines = (tmp_path / "long" / "dialogues.jsonl").read_text().splitlines()
    assert lines[:2] == (tmp_path / "short" / "dialogues.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [len(record["turns"]) for record in records] == [5] * 4
    assert set(records[0]["turns"][0]) == {"question", "answer", "kind"}
    for record in records:
        with Image.open(tmp_path / "long" / record["image"]) as picture:
            assert picture.size == (256, 256)
            assert np.asarray(picture).std() > 0


def test_nothing_is_overwritten(tmp_path, monkeypatch, capsys):
    _run(monkeypatch, "--count", "1", "--out", str(tmp_path))
    with pytest.raises(SystemExit):
        _run(monkeypatch, "--count", "1", "--out", str(tmp_path))
    assert "exists already" in capsys.readouterr().err


def test_a_bad_count_is_named(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        _run(monkeypatch, "--count", "0", "--out", str(tmp_path))
    assert "must be at least 1, got 0" in capsys.readouterr().err
