import pytest
from PIL import Image

from metacompress_compressor.evaluation.cost import CostMeter
from metacompress_compressor.evaluation.scoring import Trial
from metacompress_compressor.reductions import (
    DivPrune,
    FastV,
    Full,
    SmallerPicture,
    VisionZip,
)


@pytest.fixture(scope="module")
def meter(adapter):
    return CostMeter(adapter, Image.effect_noise((40, 30), 80).convert("RGB"))


def cost_of(meter, method):
    return meter.measure(Trial(method, 0.25, "2d", "kept"))


def test_operations_are_the_reductions_own(meter):
    """DivPrune compares all pairs of 16 tokens of 32 channels; VisionZip does not pay the tower."""
    assert cost_of(meter, DivPrune()).flops == 2 * 16 * 16 * 32
    assert cost_of(meter, Full()).flops == 0
    assert 0 < cost_of(meter, VisionZip()).flops < 0.1 * meter.tower_flops


def test_shares_and_replacement(meter):
    smaller = cost_of(meter, SmallerPicture())
    assert smaller.instead_of_tower
    assert 0.1 < smaller.flops_share < 0.6
    plain = cost_of(meter, DivPrune())
    assert not plain.instead_of_tower
    assert plain.time_share > 0
    assert cost_of(meter, FastV(layers=1)) is None
