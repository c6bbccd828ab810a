from metacompress_compressor.embedded.report import most_common_answer, table
from metacompress_compressor.training.dialogues import Dialogue, Turn

DIALOGUES = [
    Dialogue(
        image=None,  # type: ignore[arg-type]
        turns=(Turn("A?", answer, "color"), Turn("B?", "Two.", "count")),
        source="here",
    )
    for answer in ("Red.", "Red.", "Blue.", "Green.")
]


def test_most_common_answer_by_kind():
    assert most_common_answer(DIALOGUES) == {"color": 0.5, "count": 1.0}


def test_table_has_a_row_per_turn_and_kind_and_a_column_per_method():
    result = {
        "visual_tokens": 256,
        "accuracy": 0.9,
        "per_turn": [1.0, 0.8],
        "per_kind": {"color": 0.95, "count": 0.85},
    }
    budget = {"methods": {"full": result, "mapping": {**result, "visual_tokens": 25}}}
    lines = table(budget, {"color": 0.5, "count": 1.0}).splitlines()
    assert lines[0].endswith("| full (256) | mapping (25) | most common answer |")
    assert "| **all** | 90.0 | 90.0 |  |" in lines
    assert "| turn 2 | 80.0 | 80.0 |  |" in lines
    assert "| color | 95.0 | 95.0 | 50.0 |" in lines
    assert len(lines) == 2 + 1 + 2 + 2
