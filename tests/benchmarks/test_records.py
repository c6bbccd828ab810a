"""Every benchmark writes the same shape, and a line of another shape is noticed."""

import json

import pytest
import torch

from benchmarks import records
from benchmarks.records import Record, RecordError


def record(**metrics):
    origin = records.provenance(torch.device("cpu"), ["--compressor", "none"], "make bench")
    return Record("serving", {"model": "embedded"}, metrics, origin)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "new" / "results.jsonl"
    written = record(ttft_s={"p50": 0.5}, refused=None)
    records.write(path, [written])
    records.append(path, written)
    assert records.read(path) == [written, written]


def test_no_file_is_no_record(tmp_path):
    assert records.read(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("bad", [float("nan"), [1.0, float("inf")], {"p50": float("nan")}])
def test_numbers_are_finite(tmp_path, bad):
    with pytest.raises(RecordError, match=r"metrics\.ttft_s"):
        records.write(tmp_path / "results.jsonl", [record(ttft_s=bad)])
    assert not (tmp_path / "results.jsonl").exists()


def test_a_line_of_another_shape_is_named_by_its_number(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text(record(a=1).line() + "\n" + json.dumps({"benchmark": "serving"}) + "\n")
    with pytest.raises(RecordError, match=r"results.jsonl:2 does not have the keys"):
        records.read(path)


def test_provenance_may_not_lack_anything():
    origin = dict(record().provenance)
    del origin["commit"]
    with pytest.raises(RecordError, match="commit"):
        Record("serving", {}, {}, origin).line()


def test_provenance_says_what_and_where():
    origin = record().provenance
    assert origin["flags"] == ["--compressor", "none"]
    assert {"device", "cores"} <= set(origin["hardware"])
    assert {"python", "torch", "vllm"} <= set(origin["versions"])
    assert origin["when"].endswith("+00:00")
