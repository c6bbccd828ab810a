"""The shapes against what the models' pages say of them."""

import pytest

from metacompress_server.capacity.published import PUBLISHED

BILLIONS = {
    "llava-1.5-7b": 7.06,
    "llava-1.5-13b": 13.4,
    "llava-next-7b": 7.06,
    "llava-next-mistral-7b": 7.57,
    "llava-next-13b": 13.4,
    "llava-next-34b": 34.8,
    "llava-next-72b": 72.7,
    "qwen2-vl-7b": 8.29,
    "qwen2-vl-72b": 73.4,
    "qwen2.5-vl-7b": 8.29,
    "qwen2.5-vl-72b": 73.4,
}
"""Parameters of the checkpoints on the hub."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_shape_has_the_models_number_of_parameters(name: str) -> None:
    assert PUBLISHED[name].weights / 1e9 == pytest.approx(BILLIONS[name], rel=0.005)


@pytest.mark.parametrize("name", PUBLISHED)
def test_only_llava_1_5_is_called_served(name: str) -> None:
    assert PUBLISHED[name].served == name.startswith("llava-1.5")


@pytest.mark.parametrize("name", PUBLISHED)
def test_heads_make_up_the_width(name: str) -> None:
    language = PUBLISHED[name].language
    assert language.num_heads * language.head_size == language.hidden_size
    assert language.num_heads % language.num_key_heads == 0
