"""What each kernel takes of a GPU, without one: programs, registers, shared memory, spills.

    python -m metacompress_kernels.resources     # the table of docs/kernels.md, as Markdown

A call is made with tensors that have shapes and no contents, so a launch that read a value back to
the host would fail here, as it would in a CUDA graph. The launches it makes are written down and
compiled by Triton's own compiler with the specialisations a GPU would see.
"""

import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import triton
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction, MockTensor

from .triton_common import Pictures
from .triton_compress import launch_compress
from .triton_project import launch_project

KEY_DIM = 128

_INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+([^;]*);")
_BRANCH = re.compile(r"\bBRA\b.*\b0x([0-9a-f]+)")
_LOCAL_MEMORY = re.compile(r"\b(STL|LDL)\b")


@dataclass(frozen=True)
class Gpu:
    """What one multiprocessor has, from NVIDIA's table of compute capabilities."""

    name: str
    capability: int
    multiprocessors: int
    shared_memory: int
    largest_block: int

    def resident(self, usage: "Usage") -> int:
        """Programs of a kernel that one multiprocessor holds at a time."""
        registers = -(-usage.registers // 8) * 8 * 32 * usage.warps
        by_memory = self.shared_memory // (usage.shared_memory + 1024)
        return min(65536 // registers, by_memory, 64 // usage.warps, 32)


A100 = Gpu("A100", 80, 108, 164 * 1024, 163 * 1024)
H100 = Gpu("H100", 90, 132, 228 * 1024, 227 * 1024)


@dataclass(frozen=True)
class Launch:
    """One kernel launch as Triton was asked for it."""

    kernel: JITFunction
    grid: tuple[int, ...]
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.kernel.__name__).strip("_").removesuffix("_kernel")

    @property
    def programs(self) -> int:
        return torch.Size(self.grid).numel()


@dataclass(frozen=True)
class Usage:
    """What a compiled kernel takes of a multiprocessor.

    Attributes:
        registers: of one thread.
        spilled: bytes of one thread's registers that had to go to memory.
        spilling_in_loops: instructions in loops that move them; elsewhere they hardly matter.
        shared_memory: bytes of one program.
        warps: of one program.
    """

    registers: int
    spilled: int
    spilling_in_loops: int
    shared_memory: int
    warps: int


def launches_of(call: Callable[[], object]) -> list[Launch]:
    """The launches that `call` would make; it runs on fake CUDA tensors and may read no value."""
    found: list[Launch] = []

    def run(self: JITFunction, *args: Any, grid: tuple[int, ...], warmup: bool, **kw: Any) -> None:
        found.append(Launch(self, grid, args, kw))

    with FakeTensorMode(), patch.object(JITFunction, "run", run):
        call()
    return found


def compiled(launch: Launch, capability: int) -> Any:
    """Triton's compiled kernel for a launch on aligned tensors, for one GPU generation."""
    arguments = [
        MockTensor(value.dtype, tuple(value.shape)) if isinstance(value, Tensor) else value
        for value in launch.arguments
    ]
    with _compiling_for(capability):
        return launch.kernel.run(*arguments, grid=launch.grid, warmup=True, **launch.options)


def usage_of(launch: Launch, capability: int) -> Usage:
    """Registers and memory of a launch's kernel, from the machine code."""
    kernel = compiled(launch, capability)
    cubin = kernel.asm["cubin"]
    found = re.search(r"REG:(\d+) STACK:(\d+)", _cuobjdump(cubin, "-res-usage"))
    if found is None:
        raise RuntimeError("cuobjdump does not tell registers as it used to")
    return Usage(
        int(found[1]),
        int(found[2]),
        _spilling_in_loops(_cuobjdump(cubin, "-sass")),
        kernel.metadata.shared,
        launch.options["num_warps"],
    )


def _cuobjdump(cubin: bytes, what: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        command = [triton.knobs.nvidia.cuobjdump.path, what, str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _spilling_in_loops(sass: str) -> int:
    """Loads and stores of local memory between a backward branch and its target."""
    lines = [(int(place, 16), text) for place, text in _INSTRUCTION.findall(sass)]
    loops = [
        (int(target[1], 16), place)
        for place, text in lines
        if (target := _BRANCH.search(text)) and int(target[1], 16) < place
    ]
    return sum(
        bool(_LOCAL_MEMORY.search(text)) and any(start <= place <= stop for start, stop in loops)
        for place, text in lines
    )


@contextmanager
def _compiling_for(capability: int) -> Iterator[None]:
    """Stand in for the driver of a GPU, which only has to name its generation here."""

    class Named:
        """Each generation is a device of its own, so that kernels are kept apart."""

        def get_current_device(self) -> int:
            return capability

        def get_current_stream(self, device: int) -> int:
            return 0

        def get_current_target(self) -> GPUTarget:
            return GPUTarget("cuda", capability, 32)

    with patch.object(driver, "_active", Named()):
        yield


def mapping_launches(
    batch: int,
    num_tokens: int,
    num_outputs: int,
    hidden: int,
    key_dim: int = KEY_DIM,
    *,
    dtype: torch.dtype = torch.bfloat16,
    competing: bool = False,
    ragged: bool = False,
) -> list[Launch]:
    """All launches of one mapping of `[B, N, D]` to `[B, M, D]`, from tokens to outputs.

    With `ragged`, the pictures are packed one after another in the same launches.
    """

    def call() -> None:
        def empty(*shape: int, kind: torch.dtype = dtype) -> Tensor:
            return torch.empty(*shape, dtype=kind, device="cuda")

        packs, rows = (1, batch * num_tokens) if ragged else (batch, num_tokens)
        x = empty(packs, rows, hidden)
        projected = launch_project(x, empty(hidden, 2 * key_dim), empty(rows, 2 * key_dim), 1e-5)
        edges = empty(batch + 1, kind=torch.int32) if ragged else None
        queries, keys = torch.split(projected, key_dim, dim=2)
        launch_compress(
            x,
            queries,
            keys,
            empty(key_dim),
            empty(num_outputs * (batch if ragged else 1), 4, kind=torch.int32),
            empty(batch, kind=torch.int32) if ragged else 1,
            empty(packs, rows) if competing else None,
            competing,
            Pictures(batch, num_tokens, num_outputs, edges, edges),
        )

    return launches_of(call)


SHAPES = {
    "LLaVA-1.5, 576 to 58": (576, 58, 4096),
    "LLaVA-NeXT, 2,880 to 288": (2880, 288, 4096),
    "Qwen-VL, 16,384 to 1,638": (16384, 1638, 3584),
}


def table(gpus: tuple[Gpu, ...] = (H100, A100)) -> str:
    """Markdown: one row for each kernel, shape, batch and GPU, in bf16 with Dc = 128."""
    lines = [
        "| shape | batch | kernel | GPU | programs | of the GPU's places | warps | registers "
        "| spilled | in loops | shared KiB | resident |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, sizes in SHAPES.items():
        for batch in (1, 16) if sizes[0] < 10_000 else (1,):
            for launch in mapping_launches(batch, *sizes, competing=True):
                for gpu in gpus:
                    lines.append(f"| {name} | {batch} | {_cells(launch, gpu)} |")
    return "\n".join(lines)


def _cells(launch: Launch, gpu: Gpu) -> str:
    usage = usage_of(launch, gpu.capability)
    resident = gpu.resident(usage)
    cells = (
        launch.name,
        gpu.name,
        launch.programs,
        f"{launch.programs / (gpu.multiprocessors * resident):.2f}",
        usage.warps,
        usage.registers,
        f"{usage.spilled} B",
        usage.spilling_in_loops,
        f"{usage.shared_memory / 1024:.0f}",
        resident,
    )
    return " | ".join(map(str, cells))


if __name__ == "__main__":
    print(table())
