"""The LLaVA-NeXT adapter against transformers' own features, layouts and forward pass."""

import pytest
import torch
from PIL import Image

from metacompress_compressor.adapters import (
    AdapterError,
    Placement,
    TurnText,
    collate,
    load_adapter,
)
from metacompress_compressor.artifact import ArtifactError, CompressorConfig, verify_against_model
from metacompress_compressor.mapping import TokenMapping

SIZES = [(40, 30), (64, 64), (30, 90), (100, 41), (31, 33), (64, 9)]
LONG = [TurnText("what is here?", "a fox"), TurnText("and there?", "nothing at all")]
SHORT = [TurnText("one?", "no")]


@pytest.fixture(scope="module")
def adapter(tiny_llava_next):
    return load_adapter(tiny_llava_next)


def picture(size):
    return Image.effect_noise(size, 80).convert("RGB")


@pytest.mark.parametrize("size", SIZES)
def test_tokens_are_transformers_own_and_as_many_as_the_layout_says(adapter, size):
    shown = picture(size)
    inputs = adapter.processor.image_processor([shown], return_tensors="pt")
    (expected,) = adapter.model.get_image_features(**inputs, return_dict=True).pooler_output
    (tokens,) = adapter.visual_tokens([shown])
    assert torch.equal(tokens, expected)
    assert len(tokens) == adapter.layout(size).num_tokens


@pytest.mark.parametrize("size", SIZES)
def test_newlines_stand_where_the_layout_says(adapter, size):
    (tokens,) = adapter.visual_tokens([picture(size)])
    layout = adapter.layout(size)
    newline = adapter.model.model.image_newline
    found = [place for place, token in enumerate(tokens) if torch.equal(token, newline)]
    overview, tiles = layout.parts
    width = tiles.grid.cols + 1
    ends = range(overview.num_tokens + width - 1, layout.num_tokens, width)
    assert found == list(ends)
    assert len(found) == layout.num_newlines == tiles.grid.rows


def test_layouts_of_published_sizes():
    """336-pixel tiles of 24 x 24 tokens, as llava-v1.6 has them; transformers counts the same."""
    from metacompress_compressor.any_resolution import any_resolution_layout

    pinpoints = [(336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008)]

    def tokens(width, height):
        return any_resolution_layout(
            width, height, pinpoints=pinpoints, image_size=336, patch_size=14
        ).num_tokens

    assert tokens(672, 672) == 576 + 48 * 49
    assert tokens(640, 480) == 576 + 36 * 49
    assert tokens(336, 1008) == 576 + 72 * 25
    assert max(tokens(width, 500) for width in range(100, 3000)) <= 2928


def test_the_processor_counts_as_many_tokens(adapter):
    sizes = [(height, width) for height in range(20, 120, 7) for width in range(20, 120, 7)]
    counted = adapter.processor._get_num_multimodal_tokens(image_sizes=sizes)
    expected = [adapter.layout((width, height)).num_tokens for height, width in sizes]
    assert counted["num_image_tokens"] == expected


def test_all_tokens_equal_transformers_own_forward(adapter):
    shown = picture((64, 40))
    encoded = adapter.dialogues.encode([LONG])[0]
    visual = adapter.visual_tokens([shown])
    count = visual.shape[1]
    ids, image = list(encoded.token_ids), encoded.image_index
    expanded = ids[:image] + [ids[image]] * count + ids[image + 1 :]
    inputs = adapter.processor.image_processor([shown], return_tensors="pt")
    whole = adapter.model(input_ids=torch.tensor([expanded]), **inputs).logits[0]
    answers = [index + count - 1 for indices in encoded.answer_indices for index in indices]
    expected = whole[[index - 1 for index in answers]]
    got = adapter.answer_logits(collate([encoded]), visual, Placement.contiguous(count))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_pictures_of_different_sizes_share_a_batch(adapter):
    visual = [adapter.visual_tokens([picture(size)])[0] for size in [(64, 64), (30, 90)]]
    placements = [Placement.contiguous(len(tokens)) for tokens in visual]
    encoded = adapter.dialogues.encode([LONG, SHORT])
    together = adapter.answer_logits(collate(encoded), visual, placements)
    alone = [
        adapter.answer_logits(collate([dialogue]), tokens.unsqueeze(0), placement)
        for dialogue, tokens, placement in zip(encoded, visual, placements, strict=True)
    ]
    assert len(visual[0]) != len(visual[1])
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_there_is_no_grid_for_all_pictures(adapter):
    with pytest.raises(AdapterError, match="no grid in common"):
        _ = adapter.grid
    with pytest.raises(ArtifactError, match="grids that depend on their size"):
        _ = adapter.base_model_info().grid


def test_a_picture_too_narrow_for_a_token_is_refused(adapter):
    with pytest.raises(ValueError, match="at least one row and column"):
        adapter.layout((2, 500))


def test_artifact_fits_this_model_alone(adapter, tiny_llava_next, tiny_llava):
    config = CompressorConfig.describe(
        TokenMapping(adapter.hidden_size, 8),
        positions="kept",
        retention_ratio=0.25,
        trained_retention_ratios=(0.25,),
        base_model=adapter.base_model_info(),
    )
    verify_against_model(config, tiny_llava_next)
    again = CompressorConfig.model_validate_json(config.model_dump_json())
    assert again.base_model.layout(64, 40) == adapter.layout((64, 40))
    with pytest.raises(ArtifactError, match="image_grid_pinpoints"):
        verify_against_model(config, tiny_llava)


def test_the_newline_token_is_part_of_the_fingerprint(tiny_llava_next, tmp_path):
    from safetensors.torch import load_file, save_file

    from metacompress_compressor.fingerprint import model_fingerprint

    (weights,) = tiny_llava_next.glob("*.safetensors")
    tensors = load_file(weights)
    (name,) = [name for name in tensors if name.endswith("image_newline")]
    tensors[name] = tensors[name] + 1
    save_file(tensors, tmp_path / weights.name)
    assert model_fingerprint(tmp_path) != model_fingerprint(tiny_llava_next)
