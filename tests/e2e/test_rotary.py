"""The ordinary rotary operation gives what M-RoPE gives for three equal rows of positions.

In a process of its own: importing vLLM changes the process.
"""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import torch
from torch import nn
from vllm.config import VllmConfig, set_current_vllm_config
from vllm.model_executor.layers.rotary_embedding.mrope import MRotaryEmbedding
from metacompress_server.engine.rotary import use_ordinary_rotary

with set_current_vllm_config(VllmConfig()):
    rotary = MRotaryEmbedding(
        64, 64, 128, 10_000.0, True, torch.float32, mrope_section=[12, 10, 10], **{more}
    )
    layers = nn.ModuleList([nn.Module(), nn.Module()])
    for layer in layers:
        layer.rotary = rotary
    row = torch.tensor([0, 3, 4, 9, 127])
    query, key = torch.randn(5, 4 * 64), torch.randn(5, 2 * 64)
    want = rotary.forward_native(row.repeat(3, 1), query.clone(), key.clone())
    assert use_ordinary_rotary(layers) == 2
    assert layers[0].rotary is layers[1].rotary is not rotary
    got = layers[0].rotary(row, query.clone(), key.clone())
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other)
    assert not torch.allclose(got[0], query)
    assert use_ordinary_rotary(layers) == 0
"""


@pytest.mark.parametrize("more", [{}, {"scaling_factor": 2.0}], ids=["plain", "yarn"])
def test_one_row_is_as_good_as_three(more: dict[str, float]) -> None:
    script = SCRIPT.replace("{more}", repr(more))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
