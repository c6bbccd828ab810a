from typing import Any

import pytest

from metacompress_server.rope import RopeError, mrope_section, position_limit

LLAMA: dict[str, Any] = {
    "hidden_size": 256,
    "num_attention_heads": 4,
    "max_position_embeddings": 4096,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
}


@pytest.mark.parametrize("head_dim", [32, 64, 80, 128])
def test_sections_sum_to_half_the_rotary_size(head_dim: int) -> None:
    section = mrope_section({**LLAMA, "head_dim": head_dim})
    assert len(section) == 3
    assert sum(section) == head_dim // 2
    assert min(section) > 0


def test_head_size_follows_from_hidden_size_where_it_is_not_given() -> None:
    assert sum(mrope_section({**LLAMA, "head_dim": None})) == 32


def test_partial_rotary_size_counts() -> None:
    rope = {"rope_type": "default", "partial_rotary_factor": 0.5}
    assert sum(mrope_section({**LLAMA, "rope_parameters": rope})) == 16


@pytest.mark.parametrize("kind", ["llama3", "linear", "dynamic", "longrope"])
def test_rope_types_without_sections_are_refused_by_name(kind: str) -> None:
    with pytest.raises(RopeError, match=f"{kind}.*contiguous"):
        mrope_section({**LLAMA, "rope_parameters": {"rope_type": kind, "factor": 2.0}})


def test_older_checkpoints_name_their_rope_scaling() -> None:
    with pytest.raises(RopeError, match="linear"):
        mrope_section({**LLAMA, "rope_parameters": None, "rope_scaling": {"type": "linear"}})


def test_the_limit_is_the_trained_length_stretched_by_yarn() -> None:
    assert position_limit(LLAMA) == 4096
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048}
    assert position_limit({**LLAMA, "rope_parameters": yarn}) == 8192
