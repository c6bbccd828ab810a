"""Whole pictures through the mapping: parts by themselves, newline tokens untouched."""

import pytest
import torch

from metacompress_compressor.layout import Part, PictureLayout, compressed_layout
from metacompress_compressor.mapping import TokenMapping
from metacompress_compressor.picture_mapping import (
    apply_weights,
    compress_pictures,
    compression_weights_of,
    split_parts,
)
from metacompress_compressor.windows import Grid

LAYOUT = PictureLayout((Part(Grid(4, 4)), Part(Grid(6, 5), newline=True)))
NEWLINE = torch.full((8,), 7.0)


def mapping(windows):
    torch.manual_seed(0)
    return TokenMapping(8, 4, windows=windows, code=f"sinusoidal_{windows}", method="competing")


def pictures():
    torch.manual_seed(1)
    x = torch.randn(2, LAYOUT.num_tokens, 8)
    x[:, 16 + 5 :: 6] = NEWLINE
    return x


@pytest.mark.parametrize("windows", ["1d", "2d"])
def test_weights_and_forward_agree(windows):
    module, x = mapping(windows), pictures()
    weights = compression_weights_of(module, x, LAYOUT, 0.3)
    outputs = apply_weights(module, weights, x, LAYOUT, 0.3)
    with torch.no_grad():
        torch.testing.assert_close(compress_pictures(module, x, LAYOUT, 0.3), outputs)
    assert outputs.shape[1] == compressed_layout(LAYOUT, 0.3, windows).num_tokens
    assert all(torch.allclose(part.sum(-1), torch.ones(())) for part in weights)


def test_newlines_pass_through_and_mix_with_nothing():
    module, x = mapping("2d"), pictures()
    small = compressed_layout(LAYOUT, 0.3, "2d")
    outputs = compress_pictures(module, x, LAYOUT, 0.3)
    *_, (part, tokens, newline) = split_parts(outputs, small)
    assert torch.equal(newline, NEWLINE.expand(2, -1))
    changed = x.clone()
    changed[:, 16 + 5 :: 6] = -NEWLINE
    *_, (_, others, _) = split_parts(compress_pictures(module, changed, LAYOUT, 0.3), small)
    assert torch.equal(tokens, others)
    assert tokens.shape[1] == part.grid.num_tokens


def test_parts_do_not_see_each_other():
    module, x = mapping("2d"), pictures()
    changed = x.clone()
    changed[:, :16] += 1
    small = compressed_layout(LAYOUT, 0.3, "2d")
    before, after = (compress_pictures(module, one, LAYOUT, 0.3) for one in (x, changed))
    first = small.parts[0].num_tokens
    assert torch.equal(before[:, first:], after[:, first:])
    assert not torch.equal(before[:, :first], after[:, :first])


def test_one_grid_is_the_mapping_itself():
    module, x = mapping("2d"), pictures()[:, :16]
    layout = PictureLayout.of_grid(Grid(4, 4))
    with torch.no_grad():
        expected = module(x, Grid(4, 4), 0.3)
        assert torch.equal(compress_pictures(module, x, layout, 0.3), expected)
        assert compress_pictures(module, x, layout, 1.0) is x


def test_a_wrong_number_of_tokens_is_named():
    with pytest.raises(ValueError, match="a picture of 52 tokens, not 51"):
        compress_pictures(mapping("2d"), pictures()[:, 1:], LAYOUT, 0.3)
