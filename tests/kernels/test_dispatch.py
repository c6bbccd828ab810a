"""The public operations pick Triton for CUDA tensors, or say clearly why they do not.

The tensors have a device and no contents, so this runs without a GPU.
"""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

pytest.importorskip("triton", reason="Triton is not installed")

from metacompress_compressor.mapping import TokenMapping
from metacompress_compressor.windows import Grid
from metacompress_kernels import library, ops


@pytest.fixture
def cuda_build(monkeypatch):
    """As if this PyTorch were built for CUDA; calls of the Triton operations are written down."""
    called = []
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    for name in ("compress_tokens_op", "compress_tokens_ragged_op", "project_tokens_op"):
        op = getattr(library, name)

        def spy(*arguments, op=op, name=name):
            called.append(name)
            return op(*arguments)

        monkeypatch.setattr(ops, name, spy, raising=False)
    with FakeTensorMode():
        yield called


def empty(*shape, dtype=torch.bfloat16, device="cuda"):
    return torch.empty(*shape, dtype=dtype, device=device)


def test_cuda_tensors_go_to_triton(cuda_build):
    x, keys = empty(2, 576, 4096), empty(2, 576, 128)
    windows = empty(58, 4, dtype=torch.int32)
    out = ops.compress_tokens(x, keys, keys, empty(128), windows=windows, grid_cols=24)
    assert (out.shape, out.dtype, out.device.type) == ((2, 58, 4096), torch.bfloat16, "cuda")
    edges = empty(3, dtype=torch.int32)
    packed = ops.compress_tokens_ragged(
        empty(900, 4096), empty(70, 128), empty(900, 128), empty(128), edges, edges, 400, 40
    )
    assert packed.shape == (70, 4096)
    projected = ops.project_tokens(x, empty(4096, 256), empty(576, 256))
    assert projected.shape == (2, 576, 256)
    assert cuda_build == ["compress_tokens_op", "compress_tokens_ragged_op", "project_tokens_op"]


@torch.no_grad()
def test_budgets_of_their_own_take_one_operation(cuda_build, monkeypatch):
    monkeypatch.setattr(TokenMapping, "_projection", TokenMapping._fresh_projection)
    with torch.device("cuda"):
        mapping = TokenMapping(64, 16, code="none")
    outputs = mapping.compress_each(
        empty(3, 100, 64, dtype=torch.float32), Grid(10, 10), (0.1, 1.0, 0.5)
    )
    assert [len(output) for output in outputs] == [9, 100, 49]
    assert cuda_build == ["project_tokens_op", "compress_tokens_ragged_op"]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"values_on": "cpu"}, "several devices: cpu, cuda"),
        ({"beta_dtype": torch.float64}, r"must be fp32, fp16 or bf16, not torch\.float64"),
        ({"key_dim": 257}, "Dc must be at most 256, not 257"),
    ],
)
def test_what_triton_does_not_take_is_refused(cuda_build, sizes, message):
    width = sizes.get("key_dim", 16)
    values = empty(1, 9, 8, device=sizes.get("values_on", "cuda"))
    beta = empty(width, dtype=sizes.get("beta_dtype", torch.bfloat16))
    with pytest.raises(ValueError, match=message):
        ops.compress_tokens(values, empty(1, 2, width), empty(1, 9, width), beta)
    assert cuda_build == []


def test_a_device_without_an_implementation_is_refused():
    with FakeTensorMode():
        arguments = [empty(1, 9, 8, device="xpu"), *(empty(1, 9, 8, device="xpu") for _ in "qk")]
        with pytest.raises(ValueError, match="no implementation for device xpu"):
            ops.compress_tokens(*arguments, empty(8, device="xpu"))
