"""Builds what the HTTP side of one server needs: plan, counters, sessions, files."""

from functools import partial
from typing import TYPE_CHECKING

from vllm.engine.protocol import EngineClient

from metacompress_server.cache_metrics import CacheMetrics
from metacompress_server.files.routes import FileDesk
from metacompress_server.files.store import FileStore
from metacompress_server.intake import check_picture
from metacompress_server.pictures.bypass import Bypass
from metacompress_server.pictures.metrics import ImageMetrics
from metacompress_server.plan import CompressionPlan
from metacompress_server.prefill_metrics import PrefillMetrics
from metacompress_server.rope import position_limit
from metacompress_server.run_dir import shared_dir
from metacompress_server.sessions.desk import SessionDesk
from metacompress_server.sessions.metrics import SessionMetrics
from metacompress_server.sessions.records import SessionLimits
from metacompress_server.sessions.store import SessionStore
from metacompress_server.settings import ServerSettings

from .calls import VllmEngineCalls
from .current import current_plan
from .executor import is_compressing
from .kv_size import kv_bytes_per_token
from .pictures import PictureDesk
from .plugin import COMPRESSOR_KEY

if TYPE_CHECKING:
    from vllm.config import ModelConfig

_MIB = 1 << 20


def open_desks(engine: EngineClient, model_name: str) -> tuple[PictureDesk, FileDesk]:
    """The desks of this HTTP process.

    Raises:
        OSError, sqlite3.Error: the state folder cannot be used.
    """
    settings = ServerSettings.current()
    parallel = engine.vllm_config.parallel_config
    calls = VllmEngineCalls(engine, answering=is_compressing(parallel.distributed_executor_backend))
    folder = shared_dir(settings)
    files = FileStore(folder / "files.sqlite", int(settings.max_files_mib_per_tenant * _MIB))
    model_config = engine.model_config
    compressed = getattr(model_config.hf_config, COMPRESSOR_KEY, None) is not None
    plan_in_use = partial(current_plan, model_config) if compressed else _no_plan
    pictures = PictureDesk(
        engine=calls,
        metrics=ImageMetrics(model_name, plan_in_use()),
        caches=CacheMetrics(model_name),
        prefill=PrefillMetrics(model_name),
        sessions=_sessions(engine, calls, model_name, settings),
        files=files,
        plan_in_use=plan_in_use,
        placeholder=_placeholder(engine, model_config),
        max_positions=_max_positions(model_config, plan_in_use()),
        max_model_len=int(model_config.max_model_len),
        bypass=Bypass(settings.bypass_share if compressed else 0.0),
        leads=parallel._api_process_rank <= 0,
    )
    return pictures, FileDesk(
        files, check_picture, settings.file_ttl_s, int(settings.max_image_mib * _MIB)
    )


def _no_plan() -> None:
    """Pictures are served uncompressed."""


def _sessions(
    engine: EngineClient, calls: VllmEngineCalls, model_name: str, settings: ServerSettings
) -> SessionDesk:
    limits = SessionLimits(
        ttl_s=settings.session_ttl_s,
        max_images=settings.max_images_per_session,
        max_turns=settings.max_turns_per_session,
    )
    bytes_per_token = kv_bytes_per_token(engine.vllm_config)
    return SessionDesk(
        store=SessionStore(shared_dir(settings) / "sessions.sqlite", limits),
        engine=calls,
        metrics=SessionMetrics(model_name, bytes_per_token),
        bytes_per_token=bytes_per_token,
    )


def _max_positions(model_config: "ModelConfig", plan: CompressionPlan | None) -> int:
    """Without a compressor positions are tokens, and vLLM's own limit holds."""
    if plan is None:
        return int(model_config.max_model_len)
    return position_limit(model_config.hf_text_config.to_dict())


def _placeholder(engine: EngineClient, model_config: "ModelConfig") -> str | None:
    """The picture token; None for a model that is not a LLaVA, served uncompressed."""
    index = getattr(model_config.hf_config, "image_token_index", None)
    if index is None:
        return None
    token: str = engine.renderer.get_tokenizer().convert_ids_to_tokens(index)
    return token
