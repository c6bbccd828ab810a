"""Moves blocks between vLLM's cache on a CPU and the host tier: both are memory, so it copies."""

import time
from typing import TYPE_CHECKING

import torch
from vllm.v1.kv_offload.base import OffloadingWorker, TransferResult

if TYPE_CHECKING:
    from vllm.v1.kv_offload.base import CanonicalKVCaches, GPULoadStoreSpec, LoadStoreSpec
    from vllm.v1.kv_offload.cpu.shared_offload_region import SharedOffloadRegion


class CopyWorker(OffloadingWorker):
    """Copies whole blocks, one chunk of the tier for each, before `submit_*` returns.

    Args:
        kv_caches: this worker's cache tensors, each `[blocks, bytes]`.
        region: the host memory that all workers and the scheduler share.
    """

    def __init__(self, kv_caches: "CanonicalKVCaches", region: "SharedOffloadRegion") -> None:
        self._region = region
        self._cache = [one.tensor for one in kv_caches.tensors]
        self._host = [
            region.create_next_worker_view(one.page_size_bytes) for one in kv_caches.tensors
        ]
        self._group_tensors = [
            sorted({ref.tensor_idx for ref in refs}) for refs in kv_caches.group_data_refs
        ]
        self._finished: list[TransferResult] = []

    def submit_store(
        self, job_id: int, src_spec: "GPULoadStoreSpec", dst_spec: "LoadStoreSpec"
    ) -> bool:
        """From the cache to the host."""
        return self._copy(job_id, src_spec, dst_spec, to_host=True)

    def submit_load(
        self, job_id: int, src_spec: "LoadStoreSpec", dst_spec: "GPULoadStoreSpec"
    ) -> bool:
        """From the host to the cache."""
        return self._copy(job_id, dst_spec, src_spec, to_host=False)

    def get_finished(self) -> list[TransferResult]:
        finished, self._finished = self._finished, []
        return finished

    def wait(self, job_ids: set[int]) -> None:
        """Nothing is ever under way."""

    def shutdown(self) -> None:
        self._host.clear()
        self._region.cleanup()

    def _copy(
        self, job_id: int, cache: "GPULoadStoreSpec", host: "LoadStoreSpec", *, to_host: bool
    ) -> bool:
        start, moved, first = time.perf_counter(), 0, 0
        chunks = torch.from_numpy(host.block_ids).long()
        blocks = torch.from_numpy(cache.block_ids).long()
        if len(chunks) != len(blocks):
            raise ValueError(f"{len(blocks)} blocks for {len(chunks)} chunks of the host tier")
        for size, tensors in zip(cache.group_sizes, self._group_tensors, strict=True):
            rows = slice(first, first + size)
            first += size
            for index in tensors:
                in_cache, in_host = self._cache[index], self._host[index]
                if to_host:
                    in_host.index_copy_(0, chunks[rows], in_cache.index_select(0, blocks[rows]))
                else:
                    in_cache.index_copy_(0, blocks[rows], in_host.index_select(0, chunks[rows]))
                moved += size * in_host.shape[1]
        seconds = time.perf_counter() - start
        self._finished.append(TransferResult(job_id, True, moved, seconds))
        return True
