import pytest

from metacompress_compressor.evaluation.flops import prefill_flops, visual_tokens_by_layer
from metacompress_compressor.language_model_shape import LanguageModelShape
from metacompress_compressor.reductions import FastV, Full, Sample


def test_fastv_pays_for_all_tokens_in_its_first_layers():
    shape = LanguageModelShape(8, 6, 4, 4, 2, 32, 100)
    assert visual_tokens_by_layer(FastV(), shape, 50, 5) == [50, 50, 5, 5, 5, 5]
    assert visual_tokens_by_layer(Sample(), shape, 50, 5) == [5] * 6
    full = prefill_flops(Full(), shape, 50, 50, 20)
    sample = prefill_flops(Sample(), shape, 50, 5, 20)
    fastv = prefill_flops(FastV(), shape, 50, 5, 20)
    head, ranking = 2 * 8 * 100, 2 * 70 * 8
    assert fastv - ranking == pytest.approx(head + (full - head) / 3 + (sample - head) * 2 / 3)
