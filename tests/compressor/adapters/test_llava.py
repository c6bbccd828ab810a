"""The adapter against transformers' own forward pass."""

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText

from metacompress_compressor.adapters import (
    AdapterError,
    Placement,
    TowerLayer,
    TurnText,
    collate,
    load_adapter,
)
from metacompress_compressor.artifact import CompressorConfig, verify_against_model
from metacompress_compressor.mapping import TokenMapping
from metacompress_compressor.windows import Grid

LONG = [TurnText("what is here?", "a fox"), TurnText("and there?", "nothing at all")]
SHORT = [TurnText("one?", "no")]


@pytest.fixture(scope="module")
def adapter(tiny_llava):
    return load_adapter(tiny_llava)


@pytest.fixture(scope="module")
def pictures():
    return [Image.effect_noise((40, 30), 80).convert("RGB") for _ in range(2)]


@pytest.fixture(scope="module")
def visual(adapter, pictures):
    return adapter.visual_tokens(pictures)


def logits_of(adapter, dialogues, visual, placement):
    return adapter.answer_logits(collate(adapter.dialogues.encode(dialogues)), visual, placement)


def test_shapes(adapter, visual):
    assert adapter.grid == Grid(4, 4)
    assert adapter.hidden_size == 32
    assert visual.shape == (2, 16, 32)


def test_all_tokens_equal_transformers_own_forward(adapter, pictures, visual):
    encoded = adapter.dialogues.encode([LONG])[0]
    ids, image = list(encoded.token_ids), encoded.image_index
    expanded = ids[:image] + [ids[image]] * 16 + ids[image + 1 :]
    pixels = adapter.processor.image_processor(pictures[:1], return_tensors="pt")["pixel_values"]
    whole = adapter.model(input_ids=torch.tensor([expanded]), pixel_values=pixels).logits[0]
    answers = [index + 15 for indices in encoded.answer_indices for index in indices]
    expected = whole[[index - 1 for index in answers]]
    got = logits_of(adapter, [LONG], visual[:1], Placement.contiguous(16))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_kept_positions_equal_transformers_given_the_same_positions(adapter, visual):
    """Gaps in the positions must not be taken for borders between packed sequences."""
    encoded = adapter.dialogues.encode([LONG])[0]
    ids, image = torch.tensor([encoded.token_ids]), encoded.image_index
    text = adapter.model.get_input_embeddings()(ids)
    kept = [1, 6, 11]
    embeddings = torch.cat([text[:, :image], visual[:1, kept], text[:, image + 1 :]], dim=1)
    behind = range(image + 16, image + 16 + ids.shape[1] - image - 1)
    positions = torch.tensor([[*range(image), *(image + k for k in kept), *behind]])
    length = embeddings.shape[1]
    causal = torch.full((length, length), float("-inf")).triu(1).expand(1, 1, -1, -1)
    whole = adapter.model(
        inputs_embeds=embeddings, position_ids=positions, attention_mask=causal
    ).logits[0]
    answers = [index + 2 for indices in encoded.answer_indices for index in indices]
    expected = whole[[index - 1 for index in answers]]
    got = logits_of(adapter, [LONG], visual[:1, kept], Placement(tuple(kept), 16))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("placement", [Placement.contiguous(3), Placement((1, 6, 11), 16)])
def test_padding_changes_nothing(adapter, visual, placement):
    together = logits_of(adapter, [SHORT, LONG], visual[:, :3], placement)
    alone = [
        logits_of(adapter, [turns], visual[row : row + 1, :3], placement)
        for row, turns in enumerate([SHORT, LONG])
    ]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_positions_matter(adapter, visual):
    near = logits_of(adapter, [LONG], visual[:1, :3], Placement.contiguous(3))
    far = logits_of(adapter, [LONG], visual[:1, :3], Placement((1, 6, 11), 16))
    assert (near - far).abs().max() > 1e-3


def test_model_is_frozen_and_gradients_reach_the_visual_tokens(adapter, visual):
    visual = visual[:1, :3].clone().requires_grad_()
    logits_of(adapter, [LONG], visual, Placement.contiguous(3)).square().sum().backward()
    assert visual.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in adapter.model.parameters())


def test_artifact_of_this_model_fits_this_model(adapter, tiny_llava):
    config = CompressorConfig.describe(
        TokenMapping(adapter.hidden_size, 8),
        positions="kept",
        retention_ratio=0.25,
        trained_retention_ratios=(0.25,),
        base_model=adapter.base_model_info(),
    )
    verify_against_model(config, tiny_llava)
    assert config.base_model.grid == adapter.grid


def test_folders_that_are_no_model(tmp_path):
    with pytest.raises(AdapterError, match=r"has no config\.json"):
        load_adapter(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(AdapterError, match="'bert' model; there are adapters for llava"):
        load_adapter(tmp_path)


def test_a_model_without_weights_is_refused(tmp_path, tiny_llava):
    (tmp_path / "config.json").write_bytes((tiny_llava / "config.json").read_bytes())
    with pytest.raises(AdapterError, match="cannot load the model"):
        load_adapter(tmp_path)


def test_tower_attention_equals_transformers_own(adapter, pictures, tiny_llava):
    """The class token's attention, computed from hooked queries and keys, for both last layers."""
    context = adapter.vision_context(pictures)
    eager = AutoModelForImageTextToText.from_pretrained(tiny_llava, attn_implementation="eager")
    pixels = adapter.processor.image_processor(pictures, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected = eager.model.vision_tower(pixels, output_attentions=True).attentions
    for layer, attention in ((context.last, expected[-1]), (context.penultimate, expected[-2])):
        torch.testing.assert_close(layer.cls_attention, attention[:, :, 0, 1:])
    assert context.last.patch_keys.shape == (2, 16, 16)
    assert context.last.mean_patch_keys.shape == (2, 16, 8)


def test_a_half_precision_tower_gives_full_precision():
    half = torch.randn(1, 5, 8).bfloat16()
    layer = TowerLayer.from_projections(half, half, num_heads=2)
    assert layer.cls_attention.dtype == layer.patch_keys.dtype == torch.float32


def test_joint_attention_takes_all_heads_as_one():
    queries, keys = torch.randn(1, 5, 8), torch.randn(1, 5, 8)
    layer = TowerLayer.from_projections(queries, keys, num_heads=2)
    expected = (queries[0] @ keys[0].T * 8**-0.5).softmax(-1)[0, 1:]
    torch.testing.assert_close(layer.joint_cls_attention[0], expected)
    torch.testing.assert_close(layer.patch_keys, keys[:, 1:])
    torch.testing.assert_close(layer.mean_patch_keys, keys[:, 1:].unflatten(-1, (2, 4)).mean(2))


def test_smaller_pictures_give_fewer_tokens(adapter, pictures, visual):
    assert adapter.visual_tokens_at(pictures, Grid(2, 3)).shape == (2, 6, 32)
    torch.testing.assert_close(adapter.visual_tokens_at(pictures, Grid(4, 4)), visual)
