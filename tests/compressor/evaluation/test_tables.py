"""Pages show what committed results say."""

import json
from pathlib import Path

import pytest

from metacompress_compressor.evaluation.markdown import TABLES, mappings_table
from metacompress_compressor.evaluation.tables import main

ROOT = Path(__file__).resolve().parents[3]
PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    if "<!-- table: " in page.read_text(encoding="utf-8")
]


def estimate(value):
    return {"value": value, "ci95": [value - 0.01, value + 0.01]}


def record(method, kind, accuracy, tokens, positions="kept", **more):
    return {
        "method": method,
        "label": method.capitalize(),
        "kind": kind,
        "form": None,
        "trained_positions": None,
        "retention_ratio": tokens / 256,
        "windows": "2d",
        "positions": positions,
        "visual_tokens": tokens,
        "accuracy": estimate(accuracy),
        "retention": estimate(accuracy),
        "per_turn": [estimate(accuracy), estimate(accuracy / 2)],
        "per_kind": {"where": accuracy},
        "prefill": {"flops": 3e8, "flops_share": tokens / 256, "visual_kv_share": tokens / 256},
        "reduction": {
            "flops_share_of_tower": 0.01,
            "time_share_of_tower": 0.02,
            "instead_of_tower": False,
        },
        "turns": 20,
        "dialogues": 10,
        "data_digest": "d" * 64,
        "model": "tiny",
        "model_fingerprint": "f" * 64,
        "dtype": "float32",
        "scoring": "exact",
        "hardware": {"device": "abacus"},
        "versions": {"torch": "2"},
        "commit": "c",
        **more,
    }


LEAD = {"over": "Sample", "over_positions": "kept", "over_tokens": 25, **estimate(0.1)}
RECORDS = [
    record("full", "full", 0.9, 256),
    record("sample", "prompt-agnostic", 0.5, 25),
    record("sample", "prompt-agnostic", 0.6, 25, "contiguous"),
    record(
        "ours", "mapping", 0.8, 25,
        form="a form", trained_positions="kept", lead={"overall": LEAD, "per_turn": [LEAD, LEAD]},
    ),
    record(
        "again", "mapping", 0.7, 25,
        form="a form", trained_positions="kept", lead={"overall": LEAD, "per_turn": [LEAD, LEAD]},
    ),
]  # fmt: skip
PAGE = """# Results
<!-- table: {name} results.jsonl -->
old
<!-- end of table -->
The end.
"""


@pytest.fixture
def page(tmp_path):
    lines = [json.dumps(record) for record in RECORDS]
    (tmp_path / "results.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path / "page.md"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("provenance", "20 answers in 10 dialogues (data dddddddddddd), model tiny (ffffffffffff)"),
        ("accuracy", "| Sample | 50.0 / 60.0 (25) |"),
        ("accuracy", "| full | 90.0 |"),
        ("turns", "| Sample | 25 | contiguous | 60.0 (59.0 to 61.0) | 60.0 | 60.0 | 30.0 |"),
        ("kinds", "| **Ours** | 80.0 |"),
        ("lead", "| 90% | **Ours** | Sample (25, kept) | +10.0 (9.0 to 11.0) |"),
        ("mappings", "| **Ours** | a form | 80.0 (79.0 to 81.0) |"),
        ("seeds", "| Ours, Again | 2 | 75.0 (70.0 to 80.0) |"),
        ("seed_turns", "| Ours, Again | 2 | 75.0 (70.0 to 80.0) | 83.3 (77.8 to 88.9) |"),
        ("headline", "| **Ours** | 25 | 80.0 (79.0 to 81.0) | 80.0 | 80.0 | 40.0 |"),
        ("cost", "| Sample | 0.30 G | 9.8% | 9.8% | 1.0% | 2.0% |"),
    ],
)
def test_a_page_gets_the_table_that_it_asks_for(page, name, line):
    page.write_text(PAGE.format(name=name))
    assert main([str(page), "--check"]) == 1
    assert main([str(page)]) == 0
    text = page.read_text()
    assert line in text
    assert text.startswith("# Results\n")
    assert text.endswith("The end.\n")
    assert "old" not in text
    assert main([str(page), "--check"]) == 0


def test_what_cannot_be_made_is_named(page, capsys):
    page.write_text(PAGE.format(name="wishes"))
    assert main([str(page)]) == 2
    assert "there is no table 'wishes'" in capsys.readouterr().err
    page.write_text(PAGE.format(name="cost").replace("results.jsonl", "gone.jsonl"))
    assert main([str(page)]) == 2
    assert "gone.jsonl" in capsys.readouterr().err


def test_every_table_can_be_made_of_every_committed_result():
    results = ROOT / "benchmarks/results"
    files = [*results.glob("embedded*.jsonl"), *results.glob("transfer*.jsonl")]
    assert files
    for file in files:
        records = [json.loads(line) for line in file.read_text().splitlines()]
        for _, table in TABLES.values():
            assert table(records)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_committed_pages_hold_what_their_results_say(page):
    assert main([str(page), "--check"]) == 0


def test_forms_are_told_apart_by_what_they_do_not_share():
    forms = ("row softmax, trained at 0.1, 0.5, clip 0.01", "row softmax, trained at 0.1, clip 0")
    records = [record("full", "full", 0.9, 256)] + [
        record(f"m{i}", "mapping", 0.8, 25, form=form, trained_positions="kept")
        for i, form in enumerate(forms)
    ]
    table = mappings_table(records)
    assert "| **M0** | trained at 0.1, 0.5, clip 0.01 |" in table
    assert "| **M1** | trained at 0.1, clip 0 |" in table
