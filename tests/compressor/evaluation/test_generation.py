"""Free answers agree with the adapter's own generation, and with what teacher forcing says."""

from dataclasses import replace

import pytest

from metacompress_compressor.adapters import Placement
from metacompress_compressor.evaluation.generation import (
    dialogue_answers,
    max_answer_tokens,
    score_generated,
)
from metacompress_compressor.evaluation.scoring import Trial, score_batch
from metacompress_compressor.reductions import FastV, Full, Sample


def told(adapter, corpus, indices, trial):
    """The corpus with the answers that a trial gives."""
    from metacompress_compressor.evaluation.scoring import (
        pictures_of,
        placement_of,
        reduce_pictures,
    )

    pictures = pictures_of(adapter, corpus, indices)
    reduced = reduce_pictures(trial, pictures)
    dialogues = list(corpus.dialogues)
    for row, index in enumerate(indices):
        at = placement_of(reduced, 16, trial.positions)
        own = Placement(at.offsets if isinstance(at.offsets, tuple) else at.offsets[row], at.span)
        turns = dialogues[index].turns
        room = max_answer_tokens(corpus)
        said = dialogue_answers(adapter, turns, reduced.tokens[row : row + 1], own, room)
        turns = tuple(replace(turn, answer=s) for turn, s in zip(turns, said, strict=True))
        dialogues[index] = replace(dialogues[index], turns=turns)
    return replace(corpus, dialogues=tuple(dialogues))


def test_first_answers_equal_the_adapters_own(adapter, corpus):
    turns = corpus.dialogues[0].turns[:1]
    visual = corpus.visual(0, adapter.device)
    said = dialogue_answers(adapter, turns, visual.unsqueeze(0), Placement.contiguous(16), 12)
    prompt = adapter.dialogues.encode_prompt(turns)
    assert said == adapter.generate([prompt], [visual], 12)


@pytest.mark.parametrize("positions", ["kept", "contiguous"])
def test_what_it_said_is_what_counts_as_right(adapter, corpus, positions):
    trial = Trial(Sample(), 0.25, "2d", positions)
    corpus = told(adapter, corpus, [2], trial)
    assert score_generated(adapter, corpus, [2], [trial]) == {trial: [[1.0, 1.0, 1.0]]}
    answers = [replace(turn, answer="what no model says") for turn in corpus.dialogues[2].turns]
    wrong = list(corpus.dialogues)
    wrong[2] = replace(wrong[2], turns=tuple(answers))
    corpus = replace(corpus, dialogues=tuple(wrong))
    assert score_generated(adapter, corpus, [2], [trial]) == {trial: [[0.0, 0.0, 0.0]]}


def test_peoples_answers_count_by_consensus(adapter, corpus):
    trial = Trial(Full(), 1.0, "2d", "kept")
    corpus = told(adapter, corpus, [0], trial)
    (turn,) = corpus.dialogues[0].turns
    people = (turn.answer, turn.answer, *["something else entirely"] * 8)
    dialogue = replace(corpus.dialogues[0], turns=(replace(turn, answers=people),))
    corpus = replace(corpus, dialogues=(dialogue, *corpus.dialogues[1:]))
    (scores,) = score_generated(adapter, corpus, [0], [trial]).values()
    assert scores == [[pytest.approx(0.6)]]


def test_fastv_is_refused(adapter, corpus):
    with pytest.raises(ValueError, match="given answers only"):
        score_generated(adapter, corpus, [0], [Trial(FastV(1), 0.25, "2d", "kept")])
    assert score_batch(adapter, corpus, [0], [Trial(FastV(1), 0.25, "2d", "kept")])
