import json

import pytest

from metacompress_compressor.evaluation.outcomes import (
    OUTCOMES_FILE,
    OutcomesMismatch,
    OutcomeStore,
)

IDENTITY = {"model": "m", "data": "d"}


def test_scores_come_back_after_an_interruption(tmp_path):
    store = OutcomeStore(tmp_path, IDENTITY)
    store.add([4, 2], {"a": [[True, False], [True]], "b": [[0.3], [1.0]]})
    again = OutcomeStore(tmp_path, IDENTITY)
    assert again.scores("a") == {4: [1.0, 0.0], 2: [1.0]}
    assert again.scores("b") == {4: [0.3], 2: [1.0]}
    assert not again.missing("a", [2, 4])
    assert again.missing("a", [2, 5])
    assert again.missing("c", [2])


def test_a_line_cut_short_is_computed_anew(tmp_path):
    store = OutcomeStore(tmp_path, IDENTITY)
    store.add([0], {"a": [[1.0]]})
    store.add([1], {"a": [[1.0]]})
    file = tmp_path / OUTCOMES_FILE
    file.write_bytes(file.read_bytes()[:-5])
    again = OutcomeStore(tmp_path, IDENTITY)
    assert again.scores("a") == {0: [1.0]}
    again.add([1], {"a": [[0.0]]})
    assert OutcomeStore(tmp_path, IDENTITY).scores("a") == {0: [1.0], 1: [0.0]}
    assert all(json.loads(line) for line in file.read_text().splitlines())


def test_scores_of_something_else_are_refused(tmp_path):
    OutcomeStore(tmp_path, IDENTITY)
    with pytest.raises(OutcomesMismatch, match="scores of another data"):
        OutcomeStore(tmp_path, {**IDENTITY, "data": "other"})
    (tmp_path / OUTCOMES_FILE).write_text("what?\n")
    with pytest.raises(OutcomesMismatch, match="not a file of scores"):
        OutcomeStore(tmp_path, IDENTITY)
