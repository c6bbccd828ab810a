"""Accuracy: the teacher-forced count equals greedy decoding, and averages are right."""

import pytest
import torch

from metacompress_compressor.adapters import Placement, TurnText, collate
from metacompress_compressor.evaluation import evaluate
from metacompress_compressor.evaluation.scoring import right_turns
from metacompress_compressor.mapping import TokenMapping
from metacompress_compressor.reductions import FastV, Full, Mapped, Sample


def greedy(adapter, token_ids, visual, count):
    """`count` greedy tokens after a prompt, by transformers' own generation."""
    image = token_ids.index(adapter.model.config.image_token_id)
    text = adapter.model.get_input_embeddings()(torch.tensor([token_ids]))
    embeddings = torch.cat([text[:, :image], visual, text[:, image + 1 :]], dim=1)
    return adapter.model.generate(
        inputs_embeds=embeddings,
        attention_mask=torch.ones(embeddings.shape[:2]),
        max_new_tokens=count,
        min_new_tokens=count,
        do_sample=False,
        pad_token_id=0,
    )[0].tolist()


def test_right_means_what_greedy_decoding_says(adapter, corpus):
    """An answer that is what the model says is right; with one token changed it is wrong."""
    visual = corpus.visual(0, adapter.device).unsqueeze(0)
    (prompt,) = adapter.dialogues.encode([[TurnText("what is it?", "x")]])
    start = prompt.answer_indices[0][0]
    said = greedy(adapter, list(prompt.token_ids[:start]), visual, 4)

    def right(answer):
        ids = (*prompt.token_ids[:start], *answer)
        indices = tuple(range(start, start + len(answer)))
        dialogue = type(prompt)(ids, prompt.image_index, (indices,))
        batch = collate([dialogue])
        logits = adapter.answer_logits(batch, visual, Placement.contiguous(16))
        return right_turns(logits, batch)

    assert right(said).tolist() == [True]
    for place in range(4):
        changed = [token + (index == place) for index, token in enumerate(said)]
        assert right(changed).tolist() == [False]


def test_every_turn_is_counted_by_turn_and_kind(adapter, corpus, monkeypatch):
    from metacompress_compressor.evaluation import scoring

    def second_turns_are_right(logits, batch):
        row_of = dict(zip(batch.answer_turn.tolist(), batch.answer_rows.tolist(), strict=True))
        rows = [row_of[turn] for turn in sorted(row_of)]
        return torch.tensor([rows[:turn].count(row) == 1 for turn, row in enumerate(rows)])

    monkeypatch.setattr(scoring, "right_turns", second_turns_are_right)
    table = evaluate(adapter, corpus, [Full()], 0.25, "kept", batch_size=3)
    assert table["dialogues"] == 10
    assert table["turns"] == 19
    full = table["methods"]["full"]
    assert full["per_turn"] == [0.0, 1.0, 0.0]
    assert full["per_kind"] == {"count": 1.0, "place": 0.0}
    assert full["accuracy"] == round(6 / 19, 4)


@pytest.mark.parametrize("positions", ["kept", "contiguous"])
def test_result_does_not_depend_on_the_batch_size(adapter, corpus, positions):
    methods = [Full(), Sample(), FastV(layers=1), Mapped(TokenMapping(32, 8))]
    tables = [
        evaluate(adapter, corpus, methods, 0.25, positions, batch_size=size) for size in (1, 10)
    ]
    assert tables[0] == tables[1]
    assert tables[0]["positions"] == positions
