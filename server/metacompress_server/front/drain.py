"""What SIGTERM does: nobody is let in any more, running answers end, then the server stops."""

import asyncio
import logging
import signal
from typing import Protocol

from .desk import FrontDesk

_TICK_S = 0.05

logger = logging.getLogger("vllm.metacompress")


class HttpServer(Protocol):
    """What is used of uvicorn's server."""

    started: bool
    should_exit: bool
    force_exit: bool


async def drain_on_signal(front: FrontDesk, server: HttpServer) -> None:
    """Take SIGTERM and SIGINT over as soon as the server has started; a second one ends at once.

    vLLM's own handler stops the engine first, which ends running streams in the middle.
    """
    while not server.started:
        await asyncio.sleep(_TICK_S)
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, asked, server)
    await asked.wait()
    await drain(front, server)


async def drain(front: FrontDesk, server: HttpServer) -> None:
    """Wait for the last answer, `drain_timeout_s` at most, then stop the server."""
    front.drain()
    logger.warning("draining: %d requests in flight", front.gate.in_flight)
    try:
        async with asyncio.timeout(front.settings.drain_timeout_s):
            while front.gate.in_flight:
                await asyncio.sleep(_TICK_S)
    except TimeoutError:
        logger.warning("drain: %d requests were not finished in time", front.gate.in_flight)
        server.force_exit = True
    server.should_exit = True


def _on_signal(asked: asyncio.Event, server: HttpServer) -> None:
    if asked.is_set():
        server.force_exit = True
        server.should_exit = True
    asked.set()
