"""The page of the kernels says what was measured, and nothing where nothing was."""

import pytest

pytest.importorskip("triton", reason="Triton is not installed")

from benchmarks import kernels_page as page
from benchmarks.records import RESULTS, Record, write

ORIGIN = {
    "hardware": {"device": "NVIDIA H100"},
    "versions": {"torch": "2.13.0", "triton": "3.7.1"},
    "commit": "abc",
    "flags": [],
    "command": "python -m benchmarks.kernels",
    "when": "2026-11-22T10:00:00+00:00",
}


def record(method, batch, p50, **cell):
    cell = {
        "shape": "llava-1.5",
        "form": "row_softmax",
        "work": "forward",
        "launch": "python",
        "dtype": "bfloat16",
        "method": method,
        "batch": batch,
        **cell,
    }
    time = None if p50 is None else {"p20": p50, "p50": p50, "p80": p50}
    rates = {} if method == "vision tower" else {"bytes_per_s": 1e12, "share_of_copy": 0.5}
    return Record("kernels", cell, {"time_s": time, **rates, "copy_bytes_per_s": 3e12}, ORIGIN)


def test_without_results_the_page_says_so(tmp_path):
    assert page.measured(page.read_records(tmp_path)) == page.NOT_MEASURED


def test_the_page_is_what_the_results_give():
    text = page.PAGE.read_text()
    measured = page.measured(page.read_records(RESULTS))
    assert page.between(text, "measured", measured) == text
    for name, table in page.FLOORS.items():
        assert page.between(text, name, table()) == text


def test_results_become_rows_and_aims(tmp_path):
    found = [
        record("vision tower", 1, 2e-3),
        record("metacompress", 1, 1e-5),
        record("metacompress", 16, 1e-4),
        record("eager", 16, 2e-4),
        record("compiled", 16, 0.9e-4),
        record("sdpa", 64, None, refused="out of memory"),
    ]
    write(tmp_path / "kernels-h100.jsonl", found)
    text = page.measured(page.read_records(tmp_path))
    assert "| llava-1.5 | 16 | row_softmax | eager | python | forward | 200.0 (200.0 to" in text
    assert "| out of memory |  |  |" in text
    assert "batch 16 and above. Least measured: 50%" in text
    assert "at least 3 times faster than eager. Least measured: 2.00 times" in text
    assert "never slower than compiled. Least measured: 0.90 times" in text
    assert "launched by python: 0.50%" in text


def test_a_page_without_markers_is_refused():
    with pytest.raises(ValueError, match="unpack"):
        page.between("no markers", "measured", "")
