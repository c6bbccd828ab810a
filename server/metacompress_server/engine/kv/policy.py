"""vLLM's interface of a cache policy over our index of sessions."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from vllm.v1.kv_offload.cpu.policies.base import CachePolicy, ChunkStatus

from metacompress_server.kv.index import SessionIndex
from metacompress_server.kv.limits import Limits

from .requests import RequestVisits

if TYPE_CHECKING:
    from vllm.v1.kv_offload.base import OffloadKey, ReqContext


class SessionPolicy(CachePolicy):
    """Which block of the host tier goes first is the index's decision, by session.

    vLLM makes it with a number of chunks; the host tier then calls `configure`.
    """

    def __init__(self, cache_capacity: int) -> None:
        super().__init__(cache_capacity)
        self._chunks: dict[bytes, ChunkStatus] = {}
        self.chunk_bytes = 1
        self.index = SessionIndex(Limits(cache_capacity, 1.0, float("inf")))
        self.context: ReqContext | None = None
        self.orphans: set[OffloadKey] = set()

    def configure(self, chunk_bytes: int, session_share: float, ttl_s: float) -> None:
        """Set the tier's limits, before it holds anything."""
        self.chunk_bytes = chunk_bytes
        self.index = SessionIndex(Limits(self.cache_capacity * chunk_bytes, session_share, ttl_s))

    def get(self, key: "OffloadKey") -> ChunkStatus | None:
        return self._chunks.get(key)

    def insert(self, key: "OffloadKey", chunk: ChunkStatus) -> None:
        """Take up a block of the request that the host tier named in `context`."""
        assert self.context is not None, "insert outside of a store"
        visits = RequestVisits.of(self.context)
        place = visits.place(key, self.context)
        self._chunks[key] = chunk
        self.index.add(visits.host, key, self.chunk_bytes, place)

    def remove(self, key: "OffloadKey") -> None:
        del self._chunks[key]
        if self.index.tracks(key):
            self.index.remove(key)

    def touch(self, keys: "Iterable[OffloadKey]", req_context: "ReqContext") -> None:
        visits = RequestVisits.of(req_context)
        for key in keys:
            if self.index.tracks(key):
                self.index.use(visits.host, key, visits.place(key, req_context))

    def on_store_miss(self, keys: "Iterable[OffloadKey]", req_context: "ReqContext") -> None:
        """A miss teaches this policy nothing."""

    def on_request_finished(
        self,
        key_groups: "Sequence[Sequence[OffloadKey]]",
        insertion_only_keys: "set[OffloadKey]",
        reused_keys: "set[OffloadKey]",
        req_context: "ReqContext",
    ) -> None:
        self.index.finish(RequestVisits.of(req_context).host)

    def evict(
        self, n: int, protected: "set[OffloadKey]"
    ) -> "list[tuple[OffloadKey, ChunkStatus]] | None":
        freed = self.index.evict(n * self.chunk_bytes, protected)
        return None if freed is None else self.release(freed)

    def release(self, keys: "Iterable[bytes]") -> "list[tuple[OffloadKey, ChunkStatus]]":
        """Give up the chunks of blocks that the index has freed."""
        return [(key, self._chunks.pop(key)) for key in keys]

    def clear(self) -> None:
        self._chunks.clear()
        self.orphans.clear()
        self.index.clear()

    def mark_evictable(self, key: "OffloadKey") -> None:
        """A transfer ended. A block that lost its last session meanwhile is now an orphan."""
        if not self.index.tracks(key) or self.index.unpin(key):
            self.orphans.add(key)

    def mark_non_evictable(self, key: "OffloadKey") -> None:
        self.orphans.discard(key)
        if self.index.tracks(key):
            self.index.pin(key)
