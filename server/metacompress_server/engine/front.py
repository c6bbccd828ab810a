"""Puts the front door before vLLM's app, and tells it what the engine can take."""

import asyncio
import os
from argparse import Namespace
from typing import Any

from fastapi import FastAPI
from vllm import envs
from vllm.engine.protocol import EngineClient

from metacompress_server import model_routes
from metacompress_server.front import probes
from metacompress_server.front.access_log import write_as_text
from metacompress_server.front.desk import FrontDesk
from metacompress_server.front.door import FRONT_DOOR, FrontDoor
from metacompress_server.front.drain import drain_on_signal
from metacompress_server.front.metrics import start_front_metrics
from metacompress_server.front.traced_requests import TracedRequests
from metacompress_server.settings import ServerSettings, SettingsError
from metacompress_server.tracing import start_tracing

from .media import NAME


def attach_front(app: FastAPI) -> None:
    """Routes and middleware, before the first request.

    Raises:
        SettingsError, KeysError: they make no sense.
    """
    args: Namespace = app.state.args
    _insist_on_our_intake(args)
    keys = [key for key in (args.api_key or [envs.VLLM_API_KEY]) if key]
    app.state.front = FrontDesk.of(ServerSettings.current(), tuple(keys))
    app.include_router(probes.router)
    app.include_router(model_routes.router)
    app.state.front.access_log &= args.disable_uvicorn_access_log
    write_as_text()
    if args.otlp_traces_endpoint:
        start_tracing()
        app.add_middleware(TracedRequests)
    if FRONT_DOOR not in args.middleware:
        app.add_middleware(FrontDoor)


def _insist_on_our_intake(args: Namespace) -> None:
    """However vLLM was started: no other connector, and no flag that only others obey."""
    connector = os.environ.setdefault("VLLM_MEDIA_CONNECTOR", NAME)
    if connector != NAME:
        raise SettingsError(f"VLLM_MEDIA_CONNECTOR={connector} would pass pictures by the intake")
    if args.allowed_media_domains or args.allowed_local_media_path or args.media_io_kwargs:
        raise SettingsError(
            "--allowed-media-domains, --allowed-local-media-path and --media-io-kwargs are not "
            "taken: name hosts with METACOMPRESS_ALLOWED_IMAGE_HOSTS"
        )


def open_front(
    state: Any, engine: EngineClient, model_name: str, placeholder: str | None
) -> "asyncio.Task[None]":
    """Let requests in, as many as the engine runs and as may wait. The task drains on SIGTERM."""
    start_front_metrics(model_name)
    config = engine.vllm_config
    parallel = config.parallel_config
    at_once = config.scheduler_config.max_num_seqs * parallel.data_parallel_size
    front: FrontDesk = state.front
    front.know_engine(-(-at_once // parallel._api_process_count), placeholder)
    return asyncio.create_task(_drain_when_asked(state, front))


async def _drain_when_asked(state: Any, front: FrontDesk) -> None:
    while getattr(state, "server", None) is None:
        await asyncio.sleep(0.05)
    await drain_on_signal(front, state.server)
