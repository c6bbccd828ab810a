"""Every launch compiles for NVIDIA GPUs and fits them, shown without a GPU.

The launches are those of real calls, with the specialisations a GPU's driver would make: values of
1 become constants, sizes and addresses are known to be multiples of 16 or not to be.
"""
# ruff: noqa: E402 - the imports below need Triton, which may be missing

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException

triton = pytest.importorskip("triton", reason="Triton is not installed")

from metacompress_kernels.resources import (
    A100,
    H100,
    SHAPES,
    compiled,
    launches_of,
    mapping_launches,
    usage_of,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(triton.knobs.runtime.interpret, reason="Triton interprets in this process"),
]

CONSUMER_SHARED_MEMORY = 99 * 1024  # of one program with compute capability 8.6 or 8.9


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    """Kernels are compiled here, not found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triton.knobs.cache, "dir", str(tmp_path_factory.mktemp("triton")))
        yield


@pytest.mark.parametrize("gpu", [H100, A100], ids=lambda gpu: gpu.name)
@pytest.mark.parametrize(
    ("batch", "name"), [(1, "LLaVA-1.5"), (16, "LLaVA-1.5"), (16, "LLaVA-NeXT")]
)
def test_real_shapes_fit(batch, name, gpu):
    sizes = next(sizes for title, sizes in SHAPES.items() if title.startswith(name))
    for launch in mapping_launches(batch, *sizes, competing=True):
        usage = usage_of(launch, gpu.capability)
        # Code for an A100 is the code for consumer GPUs of its time and the next.
        largest = CONSUMER_SHARED_MEMORY if gpu is A100 else gpu.largest_block
        assert usage.shared_memory <= largest, launch.name
        # As many at a time as the choice of blocks counts on.
        assert gpu.resident(usage) >= 8 // usage.warps, launch.name
        assert usage.spilling_in_loops == 0, launch.name


@pytest.mark.parametrize(
    ("dtype", "key_dim", "ragged"),
    [
        (torch.bfloat16, 32, False),
        (torch.bfloat16, 256, True),
        (torch.float16, 128, True),
        (torch.float32, 256, False),
    ],
)
def test_every_dtype_and_layout_compiles(dtype, key_dim, ragged):
    launches = mapping_launches(
        2, 700, 130, 8192, key_dim, dtype=dtype, competing=True, ragged=ragged
    )
    assert {launch.name for launch in launches} >= {"project", "pool", "column", "compress"}
    for launch in launches:
        kernel = compiled(launch, H100.capability)
        assert kernel.metadata.shared <= H100.largest_block, launch.name
        if launch.name in ("project", "compress") and dtype != torch.float32:
            assert "wgmma" in kernel.asm["ptx"], f"{launch.name} misses Hopper's tensor cores"


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1), (1, 1, 1, 24, 16), (3, 7, 7, 5, 17)], ids=str)
@pytest.mark.parametrize("ragged", [False, True], ids=["dense", "ragged"])
def test_sizes_of_one_compile(sizes, ragged):
    """Triton turns an argument of 1 into a constant, which is another type inside the kernel."""
    for launch in mapping_launches(*sizes, competing=True, ragged=ragged):
        assert compiled(launch, A100.capability).asm["cubin"]


def test_a_launch_that_reads_a_value_back_is_noticed():
    with pytest.raises(DataDependentOutputException, match="_local_scalar_dense"):
        launches_of(lambda: torch.empty(1, device="cuda").item())
