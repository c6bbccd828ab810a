"""Builds both tiers for vLLM's offloading connector, in the scheduler and in each worker."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from vllm.logger import init_logger
from vllm.platforms import current_platform
from vllm.v1.kv_offload.cpu.gpu_worker import CPUOffloadingWorker
from vllm.v1.kv_offload.cpu.shared_offload_region import SharedOffloadRegion
from vllm.v1.kv_offload.tiering.spec import TieringOffloadingSpec

from metacompress_server.kv.disk_store import DiskStore
from metacompress_server.kv.limits import Limits
from metacompress_server.kv.namespace import Namespace, discard_stale

from .copy_worker import CopyWorker
from .disk_tier import SessionDiskTier
from .host_tier import SessionHostTier
from .manager import SessionKVManager
from .options import NAMESPACE, SessionKVOptions

if TYPE_CHECKING:
    from vllm.v1.kv_offload.base import CanonicalKVCaches, OffloadingWorker
    from vllm.v1.kv_offload.config import OffloadingConfig

logger = init_logger("vllm.metacompress")

_FOLDER = "session-kv"


class SharedRegion(SharedOffloadRegion):
    """vLLM's host memory for all processes of a server, whose file loses its name early.

    The scheduler maps it last and removes the name, so that no end of the server leaks the memory.
    """

    _creator: bool

    def unlink(self) -> None:
        """Take the file's name away; mappings stay."""
        os.unlink(self.mmap_path)

    def cleanup(self) -> None:
        self._creator = self._creator and Path(self.mmap_path).exists()
        super().cleanup()


class SessionKVSpec(TieringOffloadingSpec):
    """vLLM's spec of tiers below the GPU, with our managers; on a CPU with our worker as well.

    Raises:
        ValueError: options that cannot be obeyed, or less host memory than one block takes.
    """

    _manager: SessionKVManager | None
    _worker: "CPUOffloadingWorker | CopyWorker | None"

    def __init__(self, config: "OffloadingConfig") -> None:
        super().__init__(config)
        self._options = SessionKVOptions.read(self.extra_config)
        if self.blocks_per_chunk != 1 or len(set(self.tokens_per_block)) > 1:
            raise ValueError("session KV needs cache groups of one block size, one block per chunk")
        if self.num_chunks < 1:
            raise ValueError(
                f"session KV of {self.extra_config['cpu_bytes_to_use']} bytes holds no block of "
                f"{self.kv_bytes_per_chunk} bytes; raise --session-kv-gib or set it to 0"
            )
        copies = 1 if self.replicated_layout else config.parallel.world_size
        self._block_bytes = self.cpu_page_size_per_worker * copies

    def get_manager(self) -> SessionKVManager:
        """The scheduler's part, made once."""
        if self._manager is None:
            region = self._region(rank=None)
            region.unlink()
            host = SessionHostTier(
                self.num_chunks,
                self.kv_bytes_per_chunk,
                region,
                self._options.session_share,
                self._options.session_ttl_s,
                self.kv_events_config.enable_kv_cache_events,
            )
            namespace, disk = self._disk_tier(host.get_kv_memoryview())
            self._manager = SessionKVManager(host, disk, namespace, self.tokens_per_block[0])
        return self._manager

    def create_worker(self, kv_caches: "CanonicalKVCaches") -> "CPUOffloadingWorker | CopyWorker":
        """A worker's part."""
        region = self._region(0 if self.replicated_layout else self.config.parallel.rank)
        try:
            if current_platform.is_cpu():
                return CopyWorker(kv_caches, region)
            return CPUOffloadingWorker(
                kv_caches=kv_caches,
                blocks_per_chunk=self.blocks_per_chunk,
                num_cpu_chunks=self.num_chunks,
                mmap_region=region,
            )
        except BaseException:
            region.cleanup()
            raise

    def get_worker(self, kv_caches: "CanonicalKVCaches") -> "OffloadingWorker":
        """As in vLLM, on a CPU too."""
        if self._worker is None:
            self._worker = self.create_worker(kv_caches)
        return self._worker

    def _region(self, rank: int | None) -> SharedRegion:
        return SharedRegion(
            engine_id=self.config.engine_id,
            num_chunks=self.num_chunks,
            rank=rank,
            kv_bytes_per_chunk=self.kv_bytes_per_chunk,
            cpu_page_size=self.cpu_page_size_per_worker,
        )

    def _disk_tier(self, memory: memoryview) -> tuple[Namespace | None, SessionDiskTier | None]:
        options = self._options
        if not options.session_disk_bytes:
            return None, None
        assert options.session_state_dir is not None, "read() sees to that"
        root = options.session_state_dir / _FOLDER
        namespace = Namespace(root, self.extra_config[NAMESPACE])
        discard_stale(root, namespace.folder, options.session_ttl_s)
        limits = Limits(options.session_disk_bytes, options.session_share, options.session_ttl_s)
        queued = self.num_chunks * self._block_bytes // 2
        store = DiskStore(namespace.blocks, limits, max_queued_bytes=queued)
        logger.info("session KV on disk: %d blocks found again", store.counts.found_at_start)
        return namespace, SessionDiskTier(self, memory, store, self._block_bytes)
