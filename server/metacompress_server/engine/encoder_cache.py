"""vLLM's encoder-output connector that keeps compressed pictures in host memory.

The scheduler's half decides what is kept, brought back and dropped; each worker's half does so. A
picture is known by its identity, which holds tenant, content, model, compressor and m; so a known
picture never runs through the vision tower again, in whatever session of its tenant it appears.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor
from vllm.distributed.ec_transfer.ec_connector.base import (
    ECConnectorBase,
    ECConnectorMetadata,
    ECConnectorRole,
)
from vllm.utils.gpu_sync_debug import gpu_sync_allowed

from metacompress_server.encoder_index import EncoderIndex
from metacompress_server.engine_calls import CACHE_STATS

from . import rpc

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.request import Request

BUDGET = "budget_bytes"
"""Key in `ec_connector_extra_config`: bytes that one worker may keep."""


@dataclass
class EncoderCacheStep(ECConnectorMetadata):
    """What every worker does in one step, by identity.

    load: bring back to the device before the step; drop: forget, after the loads;
    store: keep, when the tower has encoded it.
    """

    load: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    store: set[str] = field(default_factory=set)


class MetaCompressEncoderCache(ECConnectorBase):
    """Both halves; vLLM makes one of each role."""

    def __init__(self, vllm_config: "VllmConfig", role: ECConnectorRole) -> None:
        super().__init__(vllm_config=vllm_config, role=role)
        model_config = vllm_config.model_config
        budget = vllm_config.ec_transfer_config.get_from_extra_config(BUDGET, 0)
        self._bytes_per_token = model_config.get_hidden_size() * model_config.dtype.itemsize
        self._num_workers = vllm_config.parallel_config.tensor_parallel_size
        self._device = vllm_config.device_config.device
        self._index = EncoderIndex(budget)
        self._pending: dict[tuple[str, int], tuple[str, int]] = {}
        self._loads: list[str] = []
        self._kept: dict[str, Tensor] = {}
        if role == ECConnectorRole.SCHEDULER:
            rpc.register(CACHE_STATS, self.report)

    # The scheduler's half

    def has_cache_item(self, identifier: str) -> bool:
        return identifier in self._index

    def update_state_after_alloc(self, request: "Request", index: int) -> None:
        """Room was made in the device's encoder cache for a picture that is loaded or encoded."""
        identity = request.mm_features[index].identifier
        if identity in self._index:
            self._index.use(identity)
            self._loads.append(identity)
        else:
            num_bytes = request.get_num_encoder_embeds(index) * self._bytes_per_token
            self._pending[request.request_id, index] = identity, num_bytes

    def build_connector_meta(self, scheduler_output: "SchedulerOutput") -> EncoderCacheStep:
        """The step's orders.

        A request that was preempted in the step that admitted it is not encoded after all, so only
        pictures that the tower will see are written down.
        """
        step = EncoderCacheStep(load=self._loads)
        encoded = [
            self._pending[request_id, index]
            for request_id, indices in scheduler_output.scheduled_encoder_inputs.items()
            for index in indices
            if (request_id, index) in self._pending
        ]
        for identity, num_bytes in encoded:
            step.drop += self._index.add(identity, num_bytes)
        step.store = {identity for identity, _ in encoded if identity in self._index}
        self._loads, self._pending = [], {}
        return step

    def report(self) -> dict[str, dict[str, int]]:
        """The answer to `metacompress_cache_stats`; bytes are those of all workers together."""
        counts = self._index.report()
        for name in ("bytes", "budget_bytes"):
            counts[name] *= self._num_workers
        return {"encoder": counts}

    # A worker's half

    def start_load_caches(self, encoder_cache: dict[str, Tensor], **kwargs: Any) -> None:
        step = self._get_connector_metadata()
        assert isinstance(step, EncoderCacheStep)
        for identity in step.load:
            if identity not in encoder_cache:
                with gpu_sync_allowed():
                    encoder_cache[identity] = self._kept[identity].to(self._device)
        for identity in step.drop:
            self._kept.pop(identity, None)

    def save_caches(self, encoder_cache: dict[str, Tensor], mm_hash: str, **kwargs: Any) -> None:
        step = self._get_connector_metadata()
        assert isinstance(step, EncoderCacheStep)
        if mm_hash in step.store:
            with gpu_sync_allowed():
                output = encoder_cache[mm_hash].detach()
                self._kept[mm_hash] = output.to("cpu", copy=True).contiguous()
