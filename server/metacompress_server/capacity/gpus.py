"""GPUs by name: about the memory that programs see, and the data sheet's dense bf16 rate."""

from dataclasses import dataclass

GIB = 1 << 30


@dataclass(frozen=True)
class Gpu:
    """Attributes: memory in GiB; `tflops`: dense bf16, in 10^12 operations per second."""

    name: str
    memory_gib: float
    tflops: float


_ALL = (
    Gpu("L4", 22.0, 121),
    Gpu("A10G", 22.0, 70),
    Gpu("RTX-4090", 23.6, 165),
    Gpu("L40S", 44.4, 362),
    Gpu("A100-40GB", 39.4, 312),
    Gpu("A100-80GB", 79.2, 312),
    Gpu("H100-80GB", 79.2, 989),
    Gpu("H200-141GB", 139.8, 989),
    Gpu("B200-180GB", 178.0, 2250),
)

GPUS: dict[str, Gpu] = {gpu.name: gpu for gpu in _ALL}
