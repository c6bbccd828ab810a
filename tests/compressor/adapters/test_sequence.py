"""Visual tokens land where the placeholder stood, text behind them goes on at the right place."""

import torch

from metacompress_compressor.adapters import EncodedDialogue, Placement, collate
from metacompress_compressor.adapters.sequence import splice


def test_splice_puts_embeddings_and_positions_in_order():
    text = torch.arange(10.0).reshape(2, 5, 1)
    visual = torch.tensor([[[100.0], [101.0]], [[200.0], [201.0]]])
    embeddings, positions = splice(text, visual, torch.tensor([1, 2]), Placement((3, 7), 9))
    assert embeddings.squeeze(-1).tolist() == [
        [0, 100, 101, 2, 3, 4],
        [5, 6, 200, 201, 8, 9],
    ]
    assert positions.tolist() == [[0, 4, 8, 10, 11, 12], [0, 1, 5, 9, 11, 12]]


def test_contiguous_placement_numbers_everything_in_a_row():
    _, positions = splice(
        torch.zeros(1, 4, 2), torch.zeros(1, 3, 2), torch.tensor([2]), Placement.contiguous(3)
    )
    assert positions.tolist() == [list(range(6))]


def test_collate_pads_and_numbers_turns_over_the_batch():
    batch = collate(
        [
            EncodedDialogue((5, 9, 6, 7), 1, ((2,), (3,))),
            EncodedDialogue((5, 5, 9, 6, 7, 8), 2, ((4, 5),)),
        ]
    )
    assert batch.token_ids.tolist() == [[5, 9, 6, 7, 0, 0], [5, 5, 9, 6, 7, 8]]
    assert batch.image_index.tolist() == [1, 2]
    assert batch.answer_ids.tolist() == [6, 7, 7, 8]
    assert batch.answer_turn.tolist() == [0, 1, 2, 2]


def test_every_picture_may_have_its_own_places():
    text, visual = torch.zeros(2, 3, 1), torch.zeros(2, 2, 1)
    own = Placement(torch.tensor([[0, 5], [3, 4]]), 9)
    _, positions = splice(text, visual, torch.tensor([1, 0]), own)
    assert positions.tolist() == [[0, 1, 6, 10], [3, 4, 9, 10]]
