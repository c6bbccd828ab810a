"""FastV against transformers' own model with the dropped tokens masked out."""

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText

from metacompress_compressor.adapters import Placement, TurnText, collate, load_adapter
from metacompress_compressor.layout import PictureLayout
from metacompress_compressor.reductions import FastV, PictureBatch
from metacompress_compressor.windows import Grid

DIALOGUES = [
    [TurnText("what is here?", "a fox"), TurnText("and there?", "nothing at all")],
    [TurnText("one?", "no")],
]


@pytest.fixture(scope="module")
def adapter(tiny_llava):
    return load_adapter(tiny_llava)


@pytest.fixture(scope="module")
def pictures(adapter):
    images = [Image.effect_noise((40, 30), 80).convert("RGB") for _ in DIALOGUES]
    return PictureBatch(adapter.visual_tokens(images), PictureLayout.of_grid(Grid(4, 4)), adapter)


@pytest.fixture(scope="module")
def batch(adapter):
    return collate(adapter.dialogues.encode(DIALOGUES))


def test_with_all_tokens_it_is_the_model_itself(adapter, pictures, batch):
    expected = adapter.answer_logits(batch, pictures.tokens, Placement.contiguous(16))
    for contiguous in (False, True):
        got = FastV(layers=1).start(adapter, batch, pictures).answer_logits(16, contiguous)
        torch.testing.assert_close(got, expected)


def eager_inputs(adapter, pictures):
    encoded = adapter.dialogues.encode(DIALOGUES[:1])[0]
    ids, image = torch.tensor([encoded.token_ids]), encoded.image_index
    text = adapter.model.get_input_embeddings()(ids)
    embeddings = torch.cat([text[:, :image], pictures.tokens[:1], text[:, image + 1 :]], dim=1)
    return encoded, image, embeddings


def test_ranks_by_what_the_first_question_attends_to(adapter, pictures, batch, tiny_llava):
    eager = AutoModelForImageTextToText.from_pretrained(tiny_llava, attn_implementation="eager")
    encoded, image, embeddings = eager_inputs(adapter, pictures)
    for layers in (1, 2):
        with torch.no_grad():
            outputs = eager.model.language_model(inputs_embeds=embeddings, output_attentions=True)
            first = FastV(layers).start(adapter, batch, pictures)
        asks = encoded.answer_indices[0][0] - 1 + 15
        expected = outputs.attentions[layers - 1][0, :, asks, image : image + 16].mean(0)
        torch.testing.assert_close(first._attention[0], expected)


def test_equals_transformers_with_dropped_tokens_masked(adapter, pictures, batch):
    """In the second of two layers, nothing may attend to what was dropped."""
    encoded, image, embeddings = eager_inputs(adapter, pictures)
    with torch.no_grad():
        first = FastV(layers=1).start(adapter, batch, pictures)
        got = first.answer_logits(5, contiguous=False)
        dropped = first._attention[0].argsort(descending=True)[5:] + image

        language_model = adapter.model.model.language_model
        length = embeddings.shape[1]
        causal = torch.full((length, length), float("-inf")).triu(1)[None, None]
        masked = causal.clone()
        masked[..., dropped] = float("-inf")
        masked[..., dropped, dropped] = 0.0  # a row that sees nothing would be undefined
        positions = torch.arange(length).unsqueeze(0)
        rope = language_model.rotary_emb(embeddings, position_ids=positions)
        hidden = embeddings
        for layer, mask in zip(language_model.layers, (causal, masked), strict=True):
            hidden = layer(hidden, attention_mask=mask, position_embeddings=rope)
        logits = adapter.model.lm_head(language_model.norm(hidden))[0]
    places = [index + 15 - 1 for indices in encoded.answer_indices for index in indices]
    torch.testing.assert_close(got[: len(places)], logits[places], rtol=1e-4, atol=1e-5)


def test_the_second_question_changes_nothing_of_the_choice(adapter, pictures):
    other = [DIALOGUES[0][0], TurnText("something else entirely?", "a car")]
    choices = [
        FastV(layers=1).start(adapter, collate(adapter.dialogues.encode([turns])), one)._attention
        for turns in (DIALOGUES[0], other)
        for one in [PictureBatch(pictures.tokens[:1], pictures.layout, adapter)]
    ]
    torch.testing.assert_close(choices[0], choices[1])
