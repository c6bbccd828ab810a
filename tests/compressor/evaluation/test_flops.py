"""The formula against torch's own count on the tiny model."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForImageTextToText

from metacompress_compressor.evaluation.flops import (
    LanguageModelShape,
    prefill_flops,
    visual_tokens_by_layer,
)
from metacompress_compressor.reductions import FastV, Full, Sample


@pytest.fixture(scope="module")
def model(tiny_llava):
    return AutoModelForImageTextToText.from_pretrained(tiny_llava, attn_implementation="eager")


@pytest.mark.parametrize("tokens", [1, 7, 40])
def test_formula_equals_torchs_count(model, tokens):
    shape = LanguageModelShape.of(model.config)
    embeddings = torch.randn(1, tokens, shape.hidden_size)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        hidden = model.model.language_model(inputs_embeds=embeddings, use_cache=False)
        model.lm_head(hidden.last_hidden_state[:, -1:])
    counted = counter.get_total_flops()
    rotary = counter.get_flop_counts().get("LlamaModel.rotary_emb", {})
    counted -= sum(rotary.values())
    expected = shape.prefill_flops([tokens] * shape.num_layers)
    # torch also counts the product that makes the rotary angles: half a head's channels per token.
    angles = 2 * tokens * shape.head_size // 2
    assert counted in (expected, expected + angles)


def test_grouped_heads_and_widths_count():
    shape = LanguageModelShape(8, 3, 4, 2, 16, 32, 100)
    projections = 2 * (8 * 64 + 2 * 8 * 32 + 64 * 8 + 3 * 8 * 32)
    assert shape.layer_flops(1) == projections + 4 * 64
    assert shape.layer_flops(10) == 10 * projections + 4 * 100 * 64
    assert shape.prefill_flops([0, 0, 0]) == 2 * 8 * 100


def test_fastv_pays_for_all_tokens_in_its_first_layers():
    shape = LanguageModelShape(8, 6, 4, 4, 2, 32, 100)
    assert visual_tokens_by_layer(FastV(), shape, 50, 5) == [50, 50, 5, 5, 5, 5]
    assert visual_tokens_by_layer(Sample(), shape, 50, 5) == [5] * 6
    full = prefill_flops(Full(), shape, 50, 50, 20)
    sample = prefill_flops(Sample(), shape, 50, 5, 20)
    fastv = prefill_flops(FastV(), shape, 50, 5, 20)
    head, ranking = 2 * 8 * 100, 2 * 70 * 8
    assert fastv - ranking == pytest.approx(head + (full - head) / 3 + (sample - head) * 2 / 3)
