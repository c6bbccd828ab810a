import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPVisionConfig, CLIPVisionModel

from metacompress_server.capacity.vision import VisionShape

SHAPE = VisionShape(32, 64, 3, 3, 3 * 8 * 8, (32, 48, 48))


def test_work_of_a_tower_is_torchs_count() -> None:
    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        attn_implementation="eager",
    )
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        CLIPVisionModel(config)(torch.zeros(1, 3, 32, 32))
    projector = 2 * 16 * (32 * 48 + 48 * 48)
    class_token = 2 * 32 * 3 * 8 * 8  # the shape counts it as one more patch
    assert SHAPE.flops([17], 16) - projector - class_token == counter.get_total_flops()


def test_weights_of_all_layers_count() -> None:
    layer = 4 * 32 * 32 + 2 * 32 * 64
    assert SHAPE.weights == 3 * layer + 32 * 192 + 32 * 48 + 48 * 48


def test_a_layer_that_is_left_out_does_no_work() -> None:
    fewer = VisionShape(32, 64, 3, 2, 3 * 8 * 8, (32, 48, 48))
    assert fewer.weights == SHAPE.weights
    saved = SHAPE.flops([17], 16) - fewer.flops([17], 16)
    assert saved == 2 * 17 * (4 * 32 * 32 + 2 * 32 * 64) + 4 * 17 * 17 * 32


def test_windows_cost_less_than_all_pairs() -> None:
    windowed = VisionShape(32, 64, 3, 3, 192, (32, 48, 48), window=4, full_layers=1)
    saved = SHAPE.flops([16], 16) - windowed.flops([16], 16)
    assert saved == 4 * 2 * (16 * 16 - 16 * 4) * 32
