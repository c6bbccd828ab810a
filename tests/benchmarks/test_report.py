"""The report shows what records say, and committed pages hold what committed results say."""

import json
from importlib import import_module

from benchmarks.report import other_tables, plots, serving_tables

report = import_module("benchmarks.report.__main__")

ORIGIN = {
    "hardware": {"device": "CPU", "cores": 2},
    "versions": {"python": "3.11"},
    "commit": "abc",
    "flags": [],
    "command": "python -m benchmarks.serving",
    "when": "2026-11-22T23:00:00+00:00",
}
QUANTILES = {"p50": 0.4, "p95": 0.5, "p99": 0.6}
LESS = {"value": 0.25, "ci95": [0.2, 0.5]}


def record(benchmark, cell, metrics):
    return {"benchmark": benchmark, "cell": cell, "metrics": metrics, "provenance": ORIGIN}


def timed(contestant, part="turns", tokens=56, **cell):
    cell = {"model": "random-576", "contestant": contestant, "part": part, **cell}
    cell |= {"image_tokens_original": 576, "image_tokens": tokens}
    metrics = {
        "ttft_first_s": QUANTILES,
        "ttft_later_s": None,
        "itl_s": QUANTILES,
        "turns_per_s": 2.0,
        "good_share": 0.75,
        "tower_runs_per_session": 1.0,
        "preemptions": 0,
        "failures": {"status 503": 2},
        "tower_s_per_session": 0.1,
        "reduction_s_per_session": 0.001,
        "accuracy_per_turn": [{"value": 0.5, "answers": 4}, {"value": 1.0, "answers": 4}],
    }
    if contestant != "full":
        names = ("ttft_first", "total_first", "turns_per_s")
        metrics["ratio"] = {**dict.fromkeys(names, LESS), "ttft_later": None}
    return record("serving", cell, metrics)


def held(contestant, tokens, sessions):
    cell = {"model": "random-576", "contestant": contestant, "part": "memory"}
    metrics = {
        "visual_kv_bytes": tokens * 1024,
        "visual_kv_of_original": tokens / 576,
        "ideal": tokens / 576,
        "over_ideal": 1.0,
        "kv_memory_bytes": 2**20,
        "sessions_that_fit": {"24 words": sessions, "96 words": sessions // 2},
    }
    return record("serving", {**cell, "image_tokens": tokens}, metrics)


SERVING = [
    timed("full", tokens=576),
    timed("metacompress 90%"),
    held("full", 576, 4),
    held("metacompress 90%", 56, 24),
    timed("full", "crowds", at_once=1, tokens=576),
    timed("metacompress 90%", "crowds", at_once=1),
    timed("full", "arrivals", rate=0.5),
    timed("full", "crowds", at_once=8, tokens=576),
    timed("metacompress 90%", "crowds", at_once=8),
    timed("full", "pressure", pressure="high", sessions=16),
]


def test_gains_are_those_of_the_records():
    text = serving_tables.gains(SERVING)
    assert "| visual tokens | 576 → 56 |" in text
    assert "400 → 400 ms, 4.0 times (2.0 to 5.0) sooner" in text
    assert "| KV of the picture | 9.7 % (m / n is 9.7 %) |" in text
    assert "4 → 24 (6.0 times, 24 words); 2 → 12 (6.0 times, 96 words)" in text
    assert "75.0 % → 75.0 % of 8 |" in text
    assert "| turns per second, 8 dialogues at once | 2.0 → 2.0, 1.0 times |" in text
    assert "| first token, later turns, idle sessions | – |" in text


def test_every_serving_table_has_its_rows():
    assert "| metacompress 90% | 56 | 400, 500, 600 |" in serving_tables.contestants(SERVING)
    assert "| 24 (6.0 times) | 12 (6.0 times) |" in serving_tables.memory(SERVING)
    assert serving_tables.crowds(SERVING).count("\n") == 5
    assert "| 0.50 per s | full |" in serving_tables.arrivals(SERVING)
    assert "| high (16 sessions) | full |" in serving_tables.pressure(SERVING)
    assert "| 100.0 | 25.0 % | 1.00 | 1.0 % |" in serving_tables.costs(SERVING)


def test_the_page_joins_what_is_in_the_record_shape_and_nothing_else(tmp_path):
    lines = [*SERVING, record("wishes", {"size": 1}, {"speed_s": {"value": 1.5, "ci95": [1, 2]}})]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "b.jsonl").write_text('{"shape": "llava-1.5"}\n')
    text = report.page(tmp_path)
    assert "### One dialogue at a time" in text
    assert "## Wishes" in text
    assert "| size 1 | speed_s 1.5 |" in text
    assert "`python -m benchmarks.serving`: 10 records, 2026-11-22 23:00" in text
    assert "llava-1.5" not in text.split("## Serving")[0]


def test_plots_are_drawn(tmp_path):
    for draw in (plots.draw_crowds, plots.draw_memory):
        path = tmp_path / f"{draw.__name__}.png"
        records = [
            {**one, "metrics": {**one["metrics"], "ttft_later_s": QUANTILES}} for one in SERVING
        ]
        draw(records, path)
        assert path.read_bytes().startswith(b"\x89PNG")


def test_tables_that_pages_may_quote_have_names_of_their_own():
    tables = [make for sections in report.SECTIONS.values() for _, make in sections]
    assert len(report.QUOTED) == len(tables)
    assert other_tables.generic not in tables


def test_committed_pages_hold_what_committed_results_say(capsys):
    assert report.main(["--check"]) == 0, capsys.readouterr().err


def test_a_page_that_differs_is_noticed_and_filled(monkeypatch, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("<!-- benchmark: gains a.jsonl -->\nbetter\n<!-- end of benchmark -->\n")
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, SERVING)))
    (tmp_path / "README.md").write_text(report.page(tmp_path))
    for name, value in (("PAGES", (page,)), ("ROOT", tmp_path), ("RESULTS", tmp_path)):
        monkeypatch.setattr(report, name, value)
    monkeypatch.setattr(report, "draw", lambda: None)
    assert report.main(["--check"]) == 1
    assert capsys.readouterr().err == "page.md does not hold what its results say\n"
    assert report.main([]) == 0
    assert report.main(["--check"]) == 0
    assert "576 → 56" in page.read_text()
