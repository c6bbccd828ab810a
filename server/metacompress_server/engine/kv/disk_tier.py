"""The disk tier: vLLM's interface of a secondary tier over our store of block files."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from vllm.v1.kv_offload.base import LookupResult, Medium, RequestOffloadingContext
from vllm.v1.kv_offload.tiering.base import JobResult, SecondaryTierManager

from metacompress_server.kv.disk_store import DiskStore

from .requests import RequestVisits

if TYPE_CHECKING:
    from vllm.v1.kv_offload.base import OffloadingSpec, OffloadKey, ReqContext
    from vllm.v1.kv_offload.tiering.base import TransferJob

    from metacompress_server.kv.session import Visit


class SessionDiskTier(SecondaryTierManager):
    """Each block that reaches the host is written below it; a miss in the host is looked for here.

    vLLM moves data between host memory and this tier only, in the scheduler's process, for all
    ranks of a block at once.
    """

    medium: ClassVar[Medium] = Medium.STORAGE

    def __init__(
        self, spec: "OffloadingSpec", host_memory: memoryview, store: DiskStore, block_bytes: int
    ) -> None:
        super().__init__(spec, host_memory, "sessions")
        self.store = store
        self._block_bytes = block_bytes
        self._reading: set[int] = set()

    def on_new_request(self, req_context: "ReqContext") -> RequestOffloadingContext:
        """No wishes: blocks are written as they are computed."""
        return RequestOffloadingContext()

    def lookup(self, key: "OffloadKey", req_context: "ReqContext") -> LookupResult:
        return LookupResult.HIT if self.store.holds(key) else LookupResult.MISS

    def submit_store(self, job_metadata: "TransferJob") -> None:
        visits = RequestVisits.of(job_metadata.req_context)
        slots = [
            (key, visits.place(key, job_metadata.req_context), payload)
            for key, payload in self._payloads(job_metadata)
        ]
        self.store.save(job_metadata.job_id, self._visit(visits), slots)

    def submit_load(self, job_metadata: "TransferJob") -> None:
        self._reading.add(job_metadata.job_id)
        self.store.load(job_metadata.job_id, list(self._payloads(job_metadata)))

    def get_finished_jobs(self) -> Iterable[JobResult]:
        """A read that failed for some blocks keeps the others."""
        for job in self.store.finished():
            reading = job.job_id in self._reading
            self._reading.discard(job.job_id)
            yield JobResult(
                job.job_id,
                success=not job.failed,
                successful_keys=job.done if reading and job.failed else None,
                transfer_time=job.seconds,
                transfer_bytes=len(job.done) * self._block_bytes,
            )

    def note_use(self, keys: "Collection[OffloadKey]", req_context: "ReqContext") -> None:
        """The request uses these blocks, whichever tier they came from."""
        visits = RequestVisits.of(req_context)
        places = [(key, visits.place(key, req_context)) for key in keys]
        self.store.use(self._visit(visits), places)

    def drain_jobs(self) -> None:
        self.store.wait()

    def has_pending_work(self) -> bool:
        return self.store.busy

    def shutdown(self) -> None:
        self.store.close()

    @classmethod
    def build_metric_definitions(cls, extra_config: dict[str, Any]) -> dict[str, Any]:
        """None: vLLM counts the transfers, our report the rest."""
        return {}

    def _payloads(self, job: "TransferJob") -> "Iterable[tuple[OffloadKey, memoryview]]":
        """Each block with its row of host memory: the parts of all ranks, without the padding."""
        for key, chunk in zip(job.keys, job.chunk_ids, strict=True):
            row = self._primary_kv_view[int(chunk) : int(chunk) + 1].cast("B")
            yield key, row[: self._block_bytes]

    @staticmethod
    def _visit(visits: RequestVisits) -> "Visit":
        assert visits.disk is not None, "a disk tier without visits of it"
        return visits.disk
