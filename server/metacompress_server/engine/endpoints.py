"""Hooks into vLLM's HTTP server: our chat handler, OpenAI's errors, fresh counters on /metrics."""

import asyncio
from argparse import Namespace
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from vllm.engine.protocol import EngineClient

from metacompress_server.announce import announce_when_ready
from metacompress_server.error_middleware import (
    ERROR_MIDDLEWARE,
    App,
    Message,
    OpenAIErrors,
    Receive,
    Send,
)
from metacompress_server.errors import RequestError
from metacompress_server.metrics import ImageMetrics
from metacompress_server.plan import CompressionPlan
from metacompress_server.rope import position_limit

from .chat import CompressingChat
from .current import current_plan
from .executor import is_counting
from .pictures import PictureDesk
from .plugin import COMPRESSOR_KEY

if TYPE_CHECKING:
    from starlette.datastructures import State
    from vllm.config import ModelConfig

_SCRAPE_WAIT_S = 2.0


class MetaCompressEndpoints:
    """The `vllm.endpoint_plugins` entry; loaded where VLLM_PLUGINS names it."""

    name = "metacompress_api"
    required_tasks = ("generate",)

    def attach_router(self, app: FastAPI) -> None:
        """Middleware and error handler; every route stays vLLM's own."""
        app.add_exception_handler(RequestError, _refuse)
        app.add_middleware(FreshMetrics)
        if ERROR_MIDDLEWARE not in app.state.args.middleware:
            app.add_middleware(OpenAIErrors)

    async def init_state(
        self, engine_client: EngineClient | None, state: "State", args: Namespace
    ) -> None:
        """Put our chat handler in the place of vLLM's."""
        if engine_client is None or state.openai_serving_chat is None:
            return
        model_name = state.openai_serving_models.base_model_paths[0].name
        state.pictures = _desk(engine_client, model_name)
        state.openai_serving_chat = CompressingChat.from_handler(
            state.openai_serving_chat, state.pictures
        )
        self._announcement = asyncio.create_task(announce_when_ready(state, args, model_name))


def _desk(engine: EngineClient, model_name: str) -> PictureDesk:
    model_config = engine.model_config
    folder = getattr(model_config.hf_config, COMPRESSOR_KEY, None)
    plan = None if folder is None else current_plan(model_config)
    backend = engine.vllm_config.parallel_config.distributed_executor_backend
    return PictureDesk(
        engine=engine,
        metrics=ImageMetrics(model_name, plan),
        plan=plan,
        placeholder=_placeholder(engine, model_config),
        max_positions=_max_positions(model_config, plan),
        leads=engine.vllm_config.parallel_config._api_process_rank <= 0,
        counted=is_counting(backend),
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


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestError)
    return JSONResponse(error.envelope(), status_code=error.status)


class FreshMetrics:
    """ASGI middleware that asks the engine for its count before /metrics is answered."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].rstrip("/") == "/metrics":
            await scope["app"].state.pictures.refresh_within(_SCRAPE_WAIT_S)
        await self._app(scope, receive, send)
