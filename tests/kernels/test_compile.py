"""The kernels compile for NVIDIA GPUs and fit their shared memory, shown without a GPU.

Triton brings its own compiler and assembler. Arguments are specialised as a launch on aligned
tensors with channels in their last dimension would specialise them.
"""
# ruff: noqa: E402 - the imports below need Triton, which may be missing

import pytest
import torch

triton = pytest.importorskip("triton", reason="Triton is not installed")

from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from metacompress_kernels import triton_compress, triton_project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(triton.knobs.runtime.interpret, reason="Triton interprets in this process"),
]

SMALLEST_SHARED_MEMORY = 99 * 1024  # of a multiprocessor since Ampere: compute capability 8.6
TYPES = {torch.bfloat16: "*bf16", torch.float32: "*fp32"}
DENSE = {"RAGGED": False, "WIDEN": False, "cu_tokens": None, "cu_outputs": None}
RAGGED = {"RAGGED": True, "WIDEN": False}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(triton.knobs.cache, "dir", str(tmp_path))


def compile_kernel(kernel, constants, types, capability, **options):
    """Compile for one GPU generation; numbers not named in `types` are 32-bit and aligned."""
    signature, attributes = {}, {}
    for place, name in enumerate(kernel.arg_names):
        signature[name] = "constexpr" if name in constants else types.get(name, "i32")
        if name not in constants and signature[name] != "fp32":
            attributes[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(
        fn=kernel,
        signature=signature,
        constexprs={(kernel.arg_names.index(name),): value for name, value in constants.items()},
        attrs=attributes,
    )
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


@pytest.mark.parametrize("layout", [DENSE, RAGGED], ids=["dense", "ragged"])
@pytest.mark.parametrize(
    ("dtype", "key_dim", "capability"),
    [
        (torch.bfloat16, 128, 90),
        (torch.bfloat16, 128, 80),
        (torch.bfloat16, 256, 90),
        (torch.float32, 128, 90),
    ],
)
def test_compression(layout, dtype, key_dim, capability):
    data = TYPES[dtype]
    blocks = triton_compress.blocks_for(300, 4096, key_dim, dtype.itemsize)
    kernel = compile_kernel(
        triton_compress._compress_kernel,
        {
            **layout,
            "HAS_BIAS": True,
            "BLOCK_M": blocks.outputs,
            "BLOCK_N": blocks.tokens,
            "BLOCK_D": blocks.channels,
            "BLOCK_C": blocks.key_channels,
            **dict.fromkeys(("stride_vd", "stride_kc", "stride_bn"), 1),
        },
        {
            **dict.fromkeys(("values", "keys", "beta", "out"), data),
            **dict.fromkeys(("queries", "token_bias"), "*fp32"),
            **dict.fromkeys(("cu_tokens", "cu_outputs"), "*i32"),
        },
        capability,
        num_warps=blocks.warps,
        num_stages=blocks.stages,
    )
    assert kernel.metadata.shared <= SMALLEST_SHARED_MEMORY
    if dtype == torch.bfloat16:
        assert "mma" in kernel.asm["ptx"], "no tensor-core instruction"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_columns(dtype):
    blocks = triton_compress.column_blocks_for(256)
    kernel = compile_kernel(
        triton_compress._column_kernel,
        {
            **DENSE,
            "HAS_BIAS": True,
            "BLOCK_M": blocks.outputs,
            "BLOCK_N": blocks.tokens,
            "BLOCK_C": blocks.key_channels,
            **dict.fromkeys(("stride_kc", "stride_bn"), 1),
        },
        {
            **dict.fromkeys(("keys", "beta"), TYPES[dtype]),
            **dict.fromkeys(("queries", "token_bias", "out"), "*fp32"),
        },
        90,
        num_warps=blocks.warps,
        num_stages=blocks.stages,
    )
    assert kernel.metadata.shared <= SMALLEST_SHARED_MEMORY


@pytest.mark.parametrize("layout", [DENSE, RAGGED], ids=["dense", "ragged"])
def test_pooling(layout):
    constants = {**layout, "BLOCK_M": 16, "BLOCK_C": 256, "stride_qc": 1}
    del constants["WIDEN"]
    pointers = ("windows", "cu_tokens", "cu_outputs")
    types = {"queries": "*bf16", "pooled": "*fp32", **dict.fromkeys(pointers, "*i32")}
    if layout is RAGGED:
        types["grid_cols"] = "*i32"
    compile_kernel(triton_compress._pool_kernel, constants, types, 90, num_warps=4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_projection(dtype):
    kernel = compile_kernel(
        triton_project._project_kernel,
        {
            "NORMALISE": True,
            "WIDEN": False,
            "BLOCK_T": triton_project.TOKENS,
            "BLOCK_K": triton_project.CHANNELS,
            "BLOCK_W": triton_project.COLUMNS,
            "stride_xd": 1,
        },
        {
            **dict.fromkeys(("tokens", "weight", "offset", "out"), TYPES[dtype]),
            "column_sum": "*fp32",
            "eps": "fp32",
        },
        90,
        num_warps=4,
        num_stages=triton_project.STAGES,
    )
    assert kernel.metadata.shared <= SMALLEST_SHARED_MEMORY
