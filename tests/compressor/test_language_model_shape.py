"""The formulas against torch's own count on the tiny model."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForImageTextToText

from metacompress_compressor.language_model_shape import LanguageModelShape


@pytest.fixture(scope="module")
def model(tiny_llava):
    return AutoModelForImageTextToText.from_pretrained(tiny_llava, attn_implementation="eager")


@pytest.mark.parametrize("tokens", [1, 7, 40])
def test_work_equals_torchs_count(model, tokens):
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


def test_weights_equal_the_models_matrices(model):
    shape = LanguageModelShape.of(model.config)
    matrices = [p for p in model.model.language_model.parameters() if p.dim() == 2]
    head = 0 if shape.tied else model.lm_head.weight.numel()
    assert shape.weights == sum(p.numel() for p in matrices) + head


def test_grouped_heads_and_widths_count():
    shape = LanguageModelShape(8, 3, 4, 2, 16, 32, 100)
    projections = 2 * (8 * 64 + 2 * 8 * 32 + 64 * 8 + 3 * 8 * 32)
    assert shape.layer_flops(1) == projections + 4 * 64
    assert shape.layer_flops(10) == 10 * projections + 4 * 100 * 64
    assert shape.prefill_flops([0, 0, 0]) == 2 * 8 * 100
    assert shape.kv_numbers_per_token == 2 * 3 * 2 * 16
