"""vLLM's Ray executors with our ledger and compressors; imported only where Ray was asked for.

vLLM's own modules of them cannot be imported without Ray.
"""

import vllm.envs as envs
from vllm.v1.executor.abstract import Executor
from vllm.v1.executor.ray_executor import RayDistributedExecutor
from vllm.v1.executor.ray_executor_v2 import RayExecutorV2

from .executor import Compressing


class CompressingRayExecutor(Compressing, RayExecutorV2):
    """One Ray actor per worker, asked over message queues."""

    supports_pp = True


class CompressingRayDagExecutor(Compressing, RayDistributedExecutor):
    """One Ray actor per worker, asked over a compiled graph: vLLM's older one."""

    supports_pp = True


def ray_executor() -> type[Executor]:
    """The one that vLLM would take."""
    return (
        CompressingRayExecutor
        if envs.VLLM_USE_RAY_V2_EXECUTOR_BACKEND
        else CompressingRayDagExecutor
    )
