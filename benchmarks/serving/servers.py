"""Every contestant's server, side by side: one that is asked nothing costs nothing but memory."""

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.serving.contestants import Contestant
from metacompress_server.demo.server import running_server


@contextlib.contextmanager
def running(contestants: Sequence[Contestant], at_once: int = 2) -> Iterator[dict[str, str]]:
    """All servers while the context lasts: name to URL.

    Args:
        contestants: whose servers.
        at_once: how many start at the same time.

    Raises:
        DemoError: one did not start; the others are stopped.
    """
    with contextlib.ExitStack() as stack:
        contexts = {
            one.name: running_server(one.words, dict(one.environment)) for one in contestants
        }
        with ThreadPoolExecutor(at_once) as pool:
            entered = {
                name: pool.submit(stack.enter_context, one) for name, one in contexts.items()
            }
        yield {name: future.result() for name, future in entered.items()}
