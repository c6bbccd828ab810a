"""Hooks into vLLM's HTTP server: our routes and chat handler, OpenAI's errors, fresh metrics."""

import asyncio
from argparse import Namespace
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from vllm.engine.protocol import EngineClient

from metacompress_server import compressor_routes
from metacompress_server.errors import RequestError
from metacompress_server.files import routes as file_routes
from metacompress_server.front.error_middleware import App, Message, Receive, Send
from metacompress_server.launch.announce import announce_when_ready
from metacompress_server.playground import routes as playground_routes
from metacompress_server.sessions import routes as session_routes
from metacompress_server.settings import ServerSettings

from .chat import CompressingChat
from .compressor_desk import ReloadingDesk
from .desks import open_desks
from .front import attach_front, open_front
from .look_desk import EngineLookDesk
from .responses import CompressingResponses
from .turns import ANSWER_HEADERS

if TYPE_CHECKING:
    from starlette.datastructures import State

_SCRAPE_WAIT_S = 2.0
_HOUSEKEEPING_S = 5.0


class MetaCompressEndpoints:
    """The `vllm.endpoint_plugins` entry; loaded where VLLM_PLUGINS names it."""

    name = "metacompress_api"
    required_tasks = ("generate",)

    def attach_router(self, app: FastAPI) -> None:
        """Our routes beside vLLM's, middleware, and the answer to our refusals."""
        app.include_router(session_routes.router)
        app.include_router(file_routes.router)
        app.include_router(compressor_routes.router)
        if ServerSettings.current().playground:
            app.include_router(playground_routes.router)
        app.add_exception_handler(RequestError, _refuse)
        app.add_middleware(FreshMetrics)
        app.add_middleware(AnswerHeaders)
        attach_front(app)

    async def init_state(
        self, engine_client: EngineClient | None, state: "State", args: Namespace
    ) -> None:
        """Put our handlers in the place of vLLM's, and start what goes on beside requests."""
        if engine_client is None or state.openai_serving_chat is None:
            return
        model_name = state.openai_serving_models.base_model_paths[0].name
        state.pictures, state.files = open_desks(engine_client, model_name)
        state.sessions = state.pictures.sessions
        state.looks = EngineLookDesk(engine_client, state.pictures)
        state.compressor = ReloadingDesk(engine_client.vllm_config, state.pictures.engine)
        await state.compressor.verify()
        await state.pictures.forget_warm_up()
        state.openai_serving_chat = CompressingChat.from_handler(
            state.openai_serving_chat, state.pictures
        )
        if state.openai_serving_responses is not None:
            state.openai_serving_responses = CompressingResponses.from_handler(
                state.openai_serving_responses, state.pictures
            )
        self._tasks = [
            asyncio.create_task(announce_when_ready(state, args, model_name)),
            open_front(state, engine_client, model_name, state.pictures.placeholder),
        ]
        if state.pictures.leads:
            self._tasks.append(asyncio.create_task(state.pictures.keep_house(_HOUSEKEEPING_S)))


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


class AnswerHeaders:
    """ASGI middleware that tells a client its session, and whether its dialogue was bypassed."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            ours = scope.get("state", {}).get(ANSWER_HEADERS)
            if message["type"] == "http.response.start" and ours:
                pairs = [(name.lower().encode(), value.encode()) for name, value in ours.items()]
                message = {**message, "headers": [*message["headers"], *pairs]}
            await send(message)

        await self._app(scope, receive, send_with_headers)
