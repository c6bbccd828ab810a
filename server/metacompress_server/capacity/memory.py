"""Memory of a server: what weights and the engine take, what is left for keys and values."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .gpus import GIB
from .models import ModelShape

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
KV_DTYPE_BYTES = {**DTYPE_BYTES, "fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1}

_BATCHED_TOKENS = 8192
_LOGIT_ROWS = 256
_FIXED_RESERVE = int(1.5 * GIB)
_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>[kmgtKMGT]?)")
_FACTORS = {
    **{unit: 1000 ** (i + 1) for i, unit in enumerate("kmgt")},
    **{unit: 1024 ** (i + 1) for i, unit in enumerate("KMGT")},
}


class CapacityError(ValueError):
    """Nothing can be planned with these values. The message is one line that names the bad one."""


@dataclass(frozen=True)
class KvLayout:
    """Keys and values of one replica.

    Attributes:
        number_bytes: of one number.
        block_size: tokens of a block.
        tensor_parallel: GPUs that share a replica; each holds whole heads, at least one.
    """

    number_bytes: int
    block_size: int
    tensor_parallel: int = 1

    def token_bytes(self, model: ModelShape) -> int:
        """Bytes of one token on all GPUs of a replica."""
        shape = model.language
        heads = max(1, shape.num_key_heads // self.tensor_parallel) * self.tensor_parallel
        return kv_bytes(shape.num_layers, heads, shape.head_size, self.number_bytes)

    def blocks(self, num_tokens: int) -> int:
        """Blocks that hold so many tokens."""
        return -(-num_tokens // self.block_size)


@dataclass(frozen=True)
class Pool:
    """Where the memory of one replica goes, in bytes over all its GPUs.

    Attributes:
        total, allowed: of the GPUs, and what vLLM may use; None where the KV cache was given.
        weights, reserve: taken before the KV cache.
        kv: left for keys and values.
    """

    total: int | None
    allowed: int | None
    weights: int
    reserve: int
    kv: int


def kv_bytes(num_layers: int, num_heads: int, head_size: int, number_bytes: int) -> int:
    """Keys and values of one token in layers that all attend."""
    return 2 * num_layers * num_heads * head_size * number_bytes


def assumed_reserve(model: ModelShape, tensor_parallel: int = 1) -> int:
    """Bytes per GPU for activations, CUDA graphs and the driver. Assumed; measured on no GPU yet.

    Activations: the widest layer over 8,192 tokens of a step in 16 bits, and logits of 256 answers
    in fp32, twice. The rest: 1.5 GiB.
    """
    shape = model.language
    wide = 2 * shape.mlp_width // tensor_parallel + 4 * shape.hidden_size
    activations = 2 * _BATCHED_TOKENS * wide
    logits = 8 * _LOGIT_ROWS * shape.vocabulary
    return _FIXED_RESERVE + activations + logits


def gpu_pool(
    weights: int, gpu_bytes: int, utilization: float, tensor_parallel: int, reserve: int
) -> Pool:
    """What a replica on `tensor_parallel` GPUs has for its KV cache.

    Args:
        weights: bytes of the model.
        gpu_bytes: memory of one GPU.
        utilization: share of it that vLLM may use.
        tensor_parallel: GPUs of the replica.
        reserve: bytes per GPU besides weights and KV.

    Raises:
        CapacityError: nothing is left.
    """
    total = gpu_bytes * tensor_parallel
    allowed = int(total * utilization)
    kv = allowed - weights - reserve * tensor_parallel
    if kv <= 0:
        raise CapacityError(
            f"{gib(weights)} of weights and {gib(reserve * tensor_parallel)} of reserve leave "
            f"nothing of {gib(allowed)} for keys and values ({tensor_parallel} GPU(s) of "
            f"{gib(gpu_bytes)}): more GPUs, a higher --gpu-memory-utilization, fewer --weight-bits"
        )
    return Pool(total, allowed, weights, reserve * tensor_parallel, kv)


def weight_bytes(folder: Path) -> int:
    """Size of a checkpoint's tensors as they lie on disk."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def size_of(text: Any) -> int:
    """Bytes of a size as vLLM's flags take it: a number, or one with k, m, g (10^3) or K, M, G.

    Raises:
        CapacityError: it is none.
    """
    found = _SIZE.fullmatch(str(text or 0))
    if found is None:
        raise CapacityError(f"{text} is no size")
    factor = _FACTORS.get(found["unit"], 1)
    return int(float(found["number"]) * factor)


def gib(size: float) -> str:
    """As people read it."""
    return f"{size / GIB:,.2f} GiB"
