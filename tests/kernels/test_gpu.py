"""What only a GPU can run: CUDA graphs, inductor, the dispatch of CUDA tensors, full sizes."""

import pytest
import torch

from metacompress_compressor.mapping import TokenMapping
from metacompress_compressor.windows import Grid
from metacompress_kernels import (
    compress_tokens,
    compress_tokens_reference,
    project_tokens,
    project_tokens_reference,
)

from .cases import random_case, relative_error

pytestmark = pytest.mark.gpu
GRID = Grid(24, 24)


def mapping_of(hidden=256, method="competing"):
    torch.manual_seed(0)
    return TokenMapping(hidden, 64, method=method).to("cuda", torch.bfloat16).eval()


@torch.no_grad()
@pytest.mark.parametrize("batch", [1, 16])
def test_a_cuda_graph_holds_the_mapping_and_sees_new_pictures(batch):
    mapping = mapping_of()
    x = torch.randn(batch, GRID.num_tokens, 256, device="cuda", dtype=torch.bfloat16)
    mapping(x, GRID, 0.1)  # puts windows and codes on the device, compiles the kernels
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = mapping(x, GRID, 0.1)
    x.copy_(torch.randn_like(x))
    graph.replay()
    assert relative_error(out, mapping(x, GRID, 0.1).double()) < 5e-3


@torch.no_grad()
def test_budgets_of_their_own_equal_each_alone_and_can_be_captured():
    mapping, ratios = mapping_of(), (0.1, 1.0, 0.3)
    x = torch.randn(3, GRID.num_tokens, 256, device="cuda", dtype=torch.bfloat16)
    mapping.compress_each(x, GRID, ratios)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        together = mapping.compress_each(x, GRID, ratios)
    x.copy_(torch.randn_like(x))
    graph.replay()
    for one, ratio, got in zip(x, ratios, together, strict=True):
        assert relative_error(got, mapping(one[None], GRID, ratio)[0].double()) < 1e-2


@torch.no_grad()
@pytest.mark.parametrize("method", ["row_softmax", "competing"])
def test_the_mapping_compiles_whole(method):
    mapping = mapping_of(method=method)
    x = torch.randn(2, GRID.num_tokens, 256, device="cuda", dtype=torch.bfloat16)
    compiled = torch.compile(lambda x: mapping(x, GRID, 0.1), fullgraph=True, dynamic=False)
    want = mapping(x, GRID, 0.1).double()
    assert relative_error(compiled(x), want) < 1e-2  # inductor rounds the position code elsewhere


def test_cuda_tensors_run_triton_and_nothing_else(monkeypatch):
    """The reference is taken away: nothing may fall back to it."""
    for name in ("compress_tokens_reference", "project_tokens_reference"):
        monkeypatch.delattr(f"metacompress_kernels.ops.{name}")
    case = random_case(device="cuda")
    got = compress_tokens(*case[:4], token_bias=case[6])
    assert relative_error(got, compress_tokens_reference(*case).double()) < 1e-5
    x, weight = torch.randn(2, 5, 8, device="cuda"), torch.randn(8, 6, device="cuda")
    offset = torch.randn(5, 6, device="cuda")
    want = project_tokens_reference(x.double(), weight.double(), offset.double(), 1e-5)
    assert relative_error(project_tokens(x, weight, offset), want) < 1e-5


@torch.no_grad()
def test_the_largest_picture():
    """n = 16,384, m a tenth, D = 8,192, Dc = 256, against the reference in fp32."""
    case = random_case(1, 16_384, 1_638, 8_192, 256, torch.bfloat16, "cuda")
    want = compress_tokens_reference(*(_wide(part) for part in case))
    got = compress_tokens(*case[:4], token_bias=case[6])
    assert relative_error(got, want.double()) < 5e-3


def _wide(part):
    return part.float() if isinstance(part, torch.Tensor) else part
