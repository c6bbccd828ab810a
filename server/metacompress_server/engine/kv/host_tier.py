"""The host tier: vLLM's pool of chunks in host memory, with sessions deciding who stays."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from vllm.v1.kv_offload.base import LookupResult, PrepareStoreOutput
from vllm.v1.kv_offload.cpu.common import CPULoadStoreSpec
from vllm.v1.kv_offload.tiering.manager import CPUPrimaryTierOffloadingManager

from .policy import SessionPolicy
from .requests import RequestVisits

if TYPE_CHECKING:
    from vllm.v1.kv_offload.base import OffloadKey, ReqContext
    from vllm.v1.kv_offload.cpu.shared_offload_region import SharedOffloadRegion

    from metacompress_server.kv.index import SessionIndex


class SessionHostTier(CPUPrimaryTierOffloadingManager):
    """Adds TTL, shares and deletion to vLLM's manager of the host's chunks.

    The private names used here (`_policy`, `_free_chunk`, `_num_evictable_cache_chunks`,
    `_get_num_free_chunks`) are vLLM 0.32's; see docs/vllm-notes.md.
    """

    def __init__(
        self,
        num_chunks: int,
        chunk_bytes: int,
        region: "SharedOffloadRegion",
        session_share: float,
        ttl_s: float,
        enable_events: bool,
    ) -> None:
        super().__init__(
            num_chunks=num_chunks,
            mmap_region=region,
            cache_policy=SessionPolicy.__name__,
            cache_policy_module_path=SessionPolicy.__module__,
            enable_events=enable_events,
        )
        self._policy: SessionPolicy
        self._policy.configure(chunk_bytes, session_share, ttl_s)

    @property
    def index(self) -> "SessionIndex":
        """What is here, by session."""
        return self._policy.index

    def lookup(self, key: "OffloadKey", req_context: "ReqContext") -> LookupResult:
        """As in vLLM; what belongs to no session any more is no hit."""
        if key not in self.index:
            return LookupResult.MISS
        return super().lookup(key, req_context)

    def prepare_store(
        self, keys: "Collection[OffloadKey]", req_context: "ReqContext"
    ) -> PrepareStoreOutput | None:
        """As in vLLM, but only as many blocks, from the prompt's start on, as budgets allow."""
        visit = RequestVisits.of(req_context).host
        if visit.session.deleted:
            return PrepareStoreOutput([], CPULoadStoreSpec([]), [])
        self._release(self.index.expire())
        known = [key for key in keys if self._policy.get(key) is not None]
        new = [key for key in keys if self._policy.get(key) is None]
        self._policy.touch(known, req_context)
        freed, allowed = self.index.trim(visit, len(new) * self._policy.chunk_bytes)
        self._release(freed)
        fitting = min(allowed // self._policy.chunk_bytes, self._room(known))
        self.index.refuse(max(0, len(new) - fitting))
        self._policy.context = req_context
        return super().prepare_store([*known, *new[:fitting]], req_context)

    def prepare_load(
        self, keys: "Collection[OffloadKey]", req_context: "ReqContext"
    ) -> CPULoadStoreSpec:
        self._policy.touch(keys, req_context)
        return super().prepare_load(keys, req_context)

    def drop(self, group: str) -> int:
        """Delete a session. Returns the bytes that leave because of it."""
        freed, leaving = self.index.drop(group)
        self._release(freed)
        return leaving

    def sweep(self) -> None:
        """Free what no session holds any more: idle ones end here, and orphans go."""
        self._release(self.index.expire())
        orphans, self._policy.orphans = self._policy.orphans, set()
        self._release(orphans)

    def _room(self, keep: "Collection[OffloadKey]") -> int:
        """Chunks that are free or can be freed without touching `keep`."""
        idle = sum(1 for key in keep if self._is_idle(key))
        room: int = self._get_num_free_chunks() + self._num_evictable_cache_chunks - idle
        return room

    def _is_idle(self, key: "OffloadKey") -> bool:
        chunk = self._policy.get(key)
        return chunk is not None and chunk.ref_cnt == 0

    def _release(self, keys: Iterable[bytes]) -> None:
        for _, chunk in self._policy.release(keys):
            self._free_chunk(chunk)
            self._num_evictable_cache_chunks -= 1
