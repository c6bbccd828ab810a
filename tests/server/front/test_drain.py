import asyncio
import os
import signal
from dataclasses import dataclass

import pytest

from metacompress_server.front.desk import FrontDesk
from metacompress_server.front.drain import drain_on_signal
from metacompress_server.settings import ServerSettings
from metacompress_server.tenants import Tenant

pytestmark = pytest.mark.anyio


@dataclass
class Server:
    started: bool = True
    should_exit: bool = False
    force_exit: bool = False


def desk(timeout_s: float) -> FrontDesk:
    return FrontDesk.of(ServerSettings.read({"drain_timeout_s": timeout_s}))


async def test_the_server_stops_after_the_last_answer() -> None:
    front, server = desk(30), Server()
    visit = front.gate.enter(Tenant("a"))
    draining = asyncio.create_task(drain_on_signal(front, server))
    await asyncio.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.2)
    assert front.gate.draining
    assert not server.should_exit
    visit.leave()
    await asyncio.wait_for(draining, 5)
    assert (server.should_exit, server.force_exit) == (True, False)


async def test_an_answer_that_takes_too_long_is_cut() -> None:
    front, server = desk(0.1), Server()
    front.gate.enter(Tenant("a"))
    draining = asyncio.create_task(drain_on_signal(front, server))
    await asyncio.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(draining, 5)
    assert (server.should_exit, server.force_exit) == (True, True)


async def test_a_second_signal_ends_at_once() -> None:
    front, server = desk(30), Server()
    front.gate.enter(Tenant("a"))
    draining = asyncio.create_task(drain_on_signal(front, server))
    await asyncio.sleep(0.1)
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.2)
    assert (server.should_exit, server.force_exit) == (True, True)
    draining.cancel()


@pytest.fixture(autouse=True)
async def own_signals() -> None:
    """The handlers of this process come back with the loop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: None)
