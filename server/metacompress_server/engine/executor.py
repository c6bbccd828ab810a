"""vLLM's executors with a ledger of pictures and the same compressor on every worker."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from vllm.utils.import_utils import resolve_obj_by_qualname
from vllm.v1.executor.abstract import Executor
from vllm.v1.executor.multiproc_executor import MultiprocExecutor
from vllm.v1.executor.uniproc_executor import UniProcExecutor

from metacompress_compressor.artifact import load_artifact
from metacompress_server.engine_calls import ENCODER_BATCHES, LOOK, TIMINGS
from metacompress_server.pictures.ledger import PictureLedger
from metacompress_server.pictures.traced_batches import Batch, TracedBatches

from . import rpc
from .plugin import COMPRESSOR_KEY
from .reload import COMPRESSORS as HELD
from .reload import RELOAD, CompressorKeeper
from .worker import LOOK as LOOK_BY_WORKER
from .worker import TIMINGS as TIMED_BY_WORKER

if TYPE_CHECKING:
    from vllm.v1.core.sched.output import NewRequestData, SchedulerOutput

REPORT = "metacompress_picture_report"
"""Name to give to `collective_rpc`; argument: a ticket or None; answer: `PictureLedger.report`."""

TICKET = "metacompress_ticket"
"""Key in a request's `SamplingParams.extra_args`."""


class Compressing:
    """Mixed in before an executor: writes the ledger, and answers for it and the compressors."""

    pictures: PictureLedger
    _untold: dict[str, list[float]]
    _traced: TracedBatches | None

    def _init_executor(self) -> None:
        """Start the workers; then every one must hold the compressor that was asked for.

        Raises:
            CompressorMismatch: naming the worker.
        """
        model_config = self.vllm_config.model_config  # type: ignore[attr-defined]
        folder: str | None = getattr(model_config.hf_config, COMPRESSOR_KEY, None)
        artifact = None if folder is None else load_artifact(folder)
        self.pictures = PictureLedger(
            None if artifact is None else artifact.config.base_model.grid.num_tokens
        )
        self._untold, self._traced = {}, None
        rpc.register(REPORT, self.pictures.report)
        super()._init_executor()  # type: ignore[misc]
        if folder is None or artifact is None:
            return
        keeper = CompressorKeeper(self._ask_workers)
        keeper.verify(folder, artifact.digest)
        rpc.register(HELD, keeper.digests)
        rpc.register(RELOAD, keeper.reload)
        rpc.register(TIMINGS, self._take_timings)
        if self.vllm_config.observability_config.otlp_traces_endpoint:  # type: ignore[attr-defined]
            self._traced = TracedBatches()
            rpc.register(ENCODER_BATCHES, self._take_batches)
        rpc.register(LOOK, lambda picture: self._ask_workers(LOOK_BY_WORKER, picture)[0])

    def execute_model(self, scheduler_output: "SchedulerOutput", non_block: bool = False) -> Any:
        for request in scheduler_output.scheduled_new_reqs:
            self.pictures.admit(
                request.req_id, _ticket(request), _pictures(request), request.num_computed_tokens
            )
        encoding = scheduler_output.scheduled_encoder_inputs
        self.pictures.encode(encoding)
        if self._traced is not None and encoding:
            pictures = sum(len(indices) for indices in encoding.values())
            self._traced.scheduled(self.pictures.tickets(encoding), pictures)
        self.pictures.finish(scheduler_output.finished_req_ids)
        return super().execute_model(scheduler_output, non_block)  # type: ignore[misc]

    def collective_rpc(
        self,
        method: str | Callable[..., Any],
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        **rest: Any,
    ) -> Any:
        answer = rpc.registered(method)
        if answer is not None:
            return [answer(*args, **(kwargs or {}))]
        return super().collective_rpc(  # type: ignore[misc]
            method, timeout=timeout, args=args, kwargs=kwargs, **rest
        )

    def _hear_batches(self) -> None:
        """Note what the first worker timed since the last call."""
        batches = self._ask_workers(TIMED_BY_WORKER)[0]
        for part, _, seconds, _ in batches:
            self._untold.setdefault(part, []).append(seconds)
        if self._traced is not None:
            self._traced.measured(batches)

    def _take_timings(self) -> dict[str, list[float]]:
        """Seconds of each batch since the last call, by part."""
        self._hear_batches()
        told, self._untold = self._untold, {}
        return told

    def _take_batches(self, ticket: str) -> list[Batch]:
        self._hear_batches()
        return [] if self._traced is None else self._traced.take(ticket)

    def _ask_workers(self, method: str, *args: Any) -> list[Any]:
        answers: list[Any] = self.collective_rpc(method, args=args)
        return answers


class CompressingUniProcExecutor(Compressing, UniProcExecutor):
    """One worker in the engine's own process."""


class CompressingMultiprocExecutor(Compressing, MultiprocExecutor):
    """One process per worker."""

    supports_pp = True


def compressing_executor(backend: object) -> type[Executor] | None:
    """Our executor in the place of `backend`, vLLM's name or class or path of an executor.

    Returns:
        Ours for vLLM's own, one of ours as it is, None for any other.

    Raises:
        ValueError: `ray` without the package.
    """
    if isinstance(backend, str) and "." in backend:
        backend = resolve_obj_by_qualname(backend)
    if is_compressing(backend):
        return backend  # type: ignore[return-value]
    if backend == "ray":
        if find_spec("ray") is None:
            raise ValueError(
                "--distributed-executor-backend ray needs the package `ray`, which is not installed"
            )
        from .ray_executor import ray_executor

        return ray_executor()
    executors: dict[object, type[Executor]] = {
        "uni": CompressingUniProcExecutor,
        "mp": CompressingMultiprocExecutor,
    }
    return executors.get(backend)


def is_compressing(backend: object) -> bool:
    """Whether the executor that vLLM runs is one of ours."""
    if isinstance(backend, str) and "." in backend:
        backend = resolve_obj_by_qualname(backend)
    return isinstance(backend, type) and issubclass(backend, Compressing)


def _pictures(request: "NewRequestData") -> list[tuple[int, int]]:
    return [
        (feature.mm_position.offset, feature.mm_position.length)
        for feature in request.mm_features
        if feature.modality == "image"
    ]


def _ticket(request: "NewRequestData") -> str | None:
    extra = request.sampling_params.extra_args if request.sampling_params else None
    return (extra or {}).get(TICKET)
