"""Both tiers together, for vLLM's scheduler: who holds what, where a hit came from, what goes."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from vllm.v1.kv_offload.base import PrepareStoreOutput, RequestOffloadingContext
from vllm.v1.kv_offload.tiering.manager import TieringOffloadingManager
from vllm.v1.metrics.cache_hit_source import CacheHitSource

from metacompress_server.kv.counts import HitCounts, session_report, totals_report

from .requests import RequestVisits, group_of

if TYPE_CHECKING:
    from vllm.v1.kv_offload.base import (
        LoadStoreSpec,
        OffloadKey,
        ReqContext,
        ScheduleEndContext,
    )

    from metacompress_server.kv.namespace import Namespace

    from .disk_tier import SessionDiskTier
    from .host_tier import SessionHostTier


class SessionKVManager(TieringOffloadingManager):
    """vLLM's manager of a host tier and what is below it, which also knows sessions."""

    def __init__(
        self,
        host: "SessionHostTier",
        disk: "SessionDiskTier | None",
        namespace: "Namespace | None",
        tokens_per_block: int,
    ) -> None:
        super().__init__(host, [] if disk is None else [disk])
        self._host = host
        self._disk = disk
        self._namespace = namespace
        self._tokens_per_block = tokens_per_block
        self._images_end: dict[str, int] = {}
        self._hits = HitCounts()

    def announce(self, req_id: str, images_end: int) -> None:
        """Say where the last picture of a request ends, before vLLM's own `on_new_request`."""
        self._images_end[req_id] = images_end

    def on_new_request(
        self, req_context: "ReqContext", *, exclude_tier_idx: int | None = None
    ) -> RequestOffloadingContext:
        RequestVisits.begin(
            req_context,
            self._host.index,
            self._disk.store.index if self._disk else None,
            self._images_end.pop(req_context.req_id, 0),
            self._tokens_per_block,
        )
        return super().on_new_request(req_context, exclude_tier_idx=exclude_tier_idx)

    def prepare_store(
        self, keys: "Collection[OffloadKey]", req_context: "ReqContext"
    ) -> PrepareStoreOutput | None:
        if self._disk is not None:
            self._disk.note_use(keys, req_context)
        output: PrepareStoreOutput | None = super().prepare_store(keys, req_context)
        self._hits.stores += len(output.keys_to_store) if output else 0
        return output

    def prepare_load(
        self, keys: "Collection[OffloadKey]", req_context: "ReqContext"
    ) -> "LoadStoreSpec":
        for key in keys:
            from_disk = self.get_load_source(key, req_context) == CacheHitSource.DISK
            tier = "disk_hit_tokens" if from_disk else "host_hit_tokens"
            setattr(self._hits, tier, getattr(self._hits, tier) + self._tokens_per_block)
        if self._disk is not None:
            self._disk.note_use(keys, req_context)
        return super().prepare_load(keys, req_context)

    def on_schedule_end(self, context: "ScheduleEndContext") -> None:
        super().on_schedule_end(context)
        self._host.sweep()

    def shutdown(self) -> None:
        super().shutdown()
        if self._namespace is not None:
            self._namespace.close()

    def report(self, sessions: list[str] | None = None) -> dict[str, Any]:
        """What sessions hold in each tier, and totals. Idle sessions end first.

        Args:
            sessions: ids scoped to their tenants; None for all.
        """
        self._expire()
        disk = self._disk.store if self._disk else None
        groups = None if sessions is None else [group_of(session) for session in sessions]
        prefix = group_of("")
        return {
            "sessions": {
                group.removeprefix(prefix): use
                for group, use in session_report(self._host.index, disk, groups).items()
            },
            "totals": totals_report(self._hits, self._host.index, disk),
        }

    def drop_session(self, session: str) -> int:
        """Delete a session from every tier. Returns the bytes that this frees."""
        group = group_of(session)
        return self._host.drop(group) + (self._disk.store.drop(group) if self._disk else 0)

    def _expire(self) -> None:
        self._host.sweep()
        if self._disk is not None:
            self._disk.store.expire()
