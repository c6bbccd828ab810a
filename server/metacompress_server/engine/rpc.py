"""Questions that the engine's process answers itself, by name, without asking its workers.

The HTTP process asks by `engine_core.call_utility_all_async("collective_rpc", NAME, None, args,
None)`; our executors look the name up here before they think of their workers. The functions run
between two steps of the engine, in its own thread: no locks are needed, and nothing may take long.
"""

from collections.abc import Callable
from typing import Any

from metacompress_server.engine_calls import KNOWN_CALLS

_FUNCTIONS: dict[str, Callable[..., Any]] = {}


def register(name: str, function: Callable[..., Any]) -> None:
    """Answer `name` by `function`, in the place of whoever answered it before.

    Args:
        name: as in `collective_rpc`; ours start with `metacompress_`.
        function: its arguments and its answer must survive vLLM's messages: plain data.
    """
    _FUNCTIONS[name] = function


def registered(method: object) -> Callable[..., Any] | None:
    """The function that answers `method`, None where the workers have to."""
    return _FUNCTIONS.get(method) if isinstance(method, str) else None


def known_calls() -> list[str]:
    """Every name that is answered here, in order."""
    return sorted(_FUNCTIONS)


register(KNOWN_CALLS, known_calls)
