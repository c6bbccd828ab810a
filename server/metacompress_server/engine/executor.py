"""vLLM's executors with a ledger of pictures: they see each step before it runs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vllm.utils.import_utils import resolve_obj_by_qualname
from vllm.v1.executor.abstract import Executor
from vllm.v1.executor.multiproc_executor import MultiprocExecutor
from vllm.v1.executor.uniproc_executor import UniProcExecutor

from metacompress_server.ledger import PictureLedger

from . import rpc

if TYPE_CHECKING:
    from vllm.v1.core.sched.output import NewRequestData, SchedulerOutput

REPORT = "metacompress_picture_report"
"""Name to give to `collective_rpc`; argument: a ticket or None; answer: `PictureLedger.report`."""

TICKET = "metacompress_ticket"
"""Key in a request's `SamplingParams.extra_args`."""


class _Counting:
    """Mixed in before an executor: writes the ledger and answers for it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.pictures = PictureLedger()
        rpc.register(REPORT, self.pictures.report)
        super().__init__(*args, **kwargs)

    def execute_model(self, scheduler_output: "SchedulerOutput", non_block: bool = False) -> Any:
        for request in scheduler_output.scheduled_new_reqs:
            self.pictures.admit(request.req_id, _ticket(request), _picture_lengths(request))
        self.pictures.encode(scheduler_output.scheduled_encoder_inputs)
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


class CountingUniProcExecutor(_Counting, UniProcExecutor):
    """One worker in the engine's own process."""


class CountingMultiprocExecutor(_Counting, MultiprocExecutor):
    """One process per worker."""

    supports_pp = True


def counting_executor(backend: object) -> type[Executor] | None:
    """The counting executor in the place of `backend`, vLLM's name or class or path of an executor.

    Returns:
        Ours for vLLM's own, a counting one as it is, None for any other.
    """
    executors: dict[object, type[Executor]] = {
        "uni": CountingUniProcExecutor,
        "mp": CountingMultiprocExecutor,
    }
    if isinstance(backend, str) and "." in backend:
        backend = resolve_obj_by_qualname(backend)
    return backend if is_counting(backend) else executors.get(backend)  # type: ignore[return-value]


def is_counting(backend: object) -> bool:
    """Whether the executor that vLLM runs keeps a ledger."""
    if isinstance(backend, str) and "." in backend:
        backend = resolve_obj_by_qualname(backend)
    return isinstance(backend, type) and issubclass(backend, _Counting)


def _picture_lengths(request: "NewRequestData") -> list[int]:
    return [
        feature.mm_position.length for feature in request.mm_features if feature.modality == "image"
    ]


def _ticket(request: "NewRequestData") -> str | None:
    extra = request.sampling_params.extra_args if request.sampling_params else None
    return (extra or {}).get(TICKET)
