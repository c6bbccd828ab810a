"""The page of the kernels says what was measured, and nothing where nothing was."""

import json

import pytest

pytest.importorskip("triton", reason="Triton is not installed")

BASE = {
    "shape": "llava-1.5",
    "form": "row_softmax",
    "work": "forward",
    "launch": "python",
    "device": "NVIDIA H100",
    "dtype": "bfloat16",
    "torch": "2.13.0",
    "triton": "3.7.1",
    "commit": "abc",
    "date": "2026-11-22T10:00:00+00:00",
    "copy_gb_per_s": 3000.0,
}


def record(method, batch, p50, **more):
    timed = {"p20": p50, "p50": p50, "p80": p50, "gb_per_s": 1000.0, "of_copy": 0.5}
    return {**BASE, "method": method, "batch": batch, **timed, **more}


def test_without_results_the_page_says_so(script, tmp_path):
    page = script("kernels_page")
    assert page.measured(page.read_records(tmp_path)) == page.NOT_MEASURED


def test_the_page_is_what_the_results_give(script):
    page = script("kernels_page")
    text = page.PAGE.read_text()
    measured = page.measured(page.read_records(page.ROOT / "benchmarks/results"))
    assert page.between(text, "measured", measured) == text
    assert page.between(text, "floor", script("kernel_floor").table()) == text


def test_results_become_rows_and_aims(script, tmp_path):
    page = script("kernels_page")
    tower = {k: v for k, v in record("vision tower", 1, 2e-3).items() if "copy" not in k}
    del tower["gb_per_s"], tower["form"]
    lines = [
        {**tower, "copy_gb_per_s": 3000.0},
        record("metacompress", 1, 1e-5),
        record("metacompress", 16, 1e-4),
        record("eager", 16, 2e-4),
        record("compiled", 16, 0.9e-4),
        {**BASE, "method": "sdpa", "batch": 64, "refused": "out of memory"},
    ]
    (tmp_path / "kernels-h100.jsonl").write_text("\n".join(map(json.dumps, lines)))
    text = page.measured(page.read_records(tmp_path))
    assert "| llava-1.5 | 16 | row_softmax | eager | python | forward | 200.0 (200.0 to" in text
    assert "| out of memory |  |  |" in text
    assert "batch 16 and above. Least measured: 50%" in text
    assert "at least 3 times faster than eager. Least measured: 2.00 times" in text
    assert "never slower than compiled. Least measured: 0.90 times" in text
    assert "launched by python: 0.50%" in text


def test_a_page_without_markers_is_refused(script):
    with pytest.raises(ValueError, match="unpack"):
        script("kernels_page").between("no markers", "measured", "")
