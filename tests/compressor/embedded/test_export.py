import random

import pytest
import torch
from safetensors import safe_open
from transformers import AutoProcessor, LlavaForConditionalGeneration

from metacompress_compressor.embedded.architecture import (
    NUM_VISUAL_TOKENS,
    normalize_pixels,
    tower_features,
)
from metacompress_compressor.embedded.export import export_checkpoint
from metacompress_compressor.embedded.stages import Student
from metacompress_compressor.scenes import draw_scene, sample_scene


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(1)
    student = Student()
    folder = tmp_path_factory.mktemp("model")
    export_checkpoint(student.model, student.tokenizer, folder)
    return student.model, folder


def test_transformers_loads_the_same_weights(exported):
    model, folder = exported
    loaded = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.bfloat16)
    expected, state = model.state_dict(), loaded.state_dict()
    assert expected.keys() == state.keys()
    assert all(torch.equal(expected[key], state[key]) for key in expected)


def test_keys_are_spelled_as_vllm_wants_them_and_the_file_is_small(exported):
    _, folder = exported
    with safe_open(folder / "model.safetensors", "pt") as weights:
        names = [name for name in weights.keys() if "vision_tower" in name]  # noqa: SIM118
    assert names
    assert all("vision_tower.vision_model." in name for name in names)
    assert (folder / "model.safetensors").stat().st_size < 16e6


def test_the_processor_gives_the_pixels_of_training(exported):
    model, folder = exported
    picture = draw_scene(sample_scene(random.Random(0)))
    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor(images=picture, text="<|user|><image>Hi?", return_tensors="pt")
    pixels = normalize_pixels(torch.from_numpy(picture)[None])
    torch.testing.assert_close(inputs["pixel_values"], pixels)
    features = tower_features(model.float(), pixels)
    assert features.shape == (1, NUM_VISUAL_TOKENS, 192)
    image = processor.tokenizer.convert_tokens_to_ids("<image>")
    assert (inputs["input_ids"] == image).sum() == NUM_VISUAL_TOKENS
