"""vLLM's offloading connector, telling our manager where the pictures of a request end."""

from typing import TYPE_CHECKING

from vllm.distributed.kv_transfer.kv_connector.v1 import KVConnectorRole
from vllm.distributed.kv_transfer.kv_connector.v1.offloading_connector import OffloadingConnector

from metacompress_server.engine import rpc
from metacompress_server.engine_calls import DROP_SESSION, SESSION_KV

from .fingerprint import namespace_fields
from .manager import SessionKVManager
from .options import NAMESPACE

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.kv_cache_interface import KVCacheConfig
    from vllm.v1.request import Request


class SessionKVConnector(OffloadingConnector):
    """Scheduler's side: sessions, and the questions about them. Worker's side: as vLLM's."""

    def __init__(
        self, vllm_config: "VllmConfig", role: KVConnectorRole, kv_cache_config: "KVCacheConfig"
    ) -> None:
        options = vllm_config.kv_transfer_config.kv_connector_extra_config
        if role == KVConnectorRole.SCHEDULER and options.get("session_disk_bytes"):
            options[NAMESPACE] = namespace_fields(vllm_config)
        super().__init__(vllm_config, role, kv_cache_config)
        if role == KVConnectorRole.SCHEDULER:
            rpc.register(SESSION_KV, self._manager.report)
            rpc.register(DROP_SESSION, self._manager.drop_session)

    def on_new_request(self, request: "Request") -> None:
        self._manager.announce(request.request_id, _images_end(request))
        super().on_new_request(request)

    @property
    def _manager(self) -> SessionKVManager:
        manager = self.scheduler.manager
        assert isinstance(manager, SessionKVManager), "the connector needs SessionKVSpec"
        return manager


def _images_end(request: "Request") -> int:
    """Tokens of the prompt up to the end of its last picture."""
    places = (feature.mm_position for feature in request.mm_features)
    return max((place.offset + place.length for place in places), default=0)
