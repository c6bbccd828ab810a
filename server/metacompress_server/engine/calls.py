"""Asks the engine's processes over vLLM's own channel."""

from typing import Any

from vllm.v1.engine.async_llm import AsyncLLM

from metacompress_server.engine_calls import KNOWN_CALLS


class VllmEngineCalls:
    """`EngineCalls` of a running vLLM.

    Args:
        engine: the client of this HTTP process.
        answering: whether the engine's executor is ours, the one that answers.
    """

    def __init__(self, engine: AsyncLLM, *, answering: bool) -> None:
        self._engine = engine
        self._answering = answering
        self._known: frozenset[str] | None = None

    async def ask(self, name: str, *args: Any) -> list[Any]:
        """One answer for each engine; none where the engine does not know the question."""
        if not self._answering or self._engine.errored:
            return []
        if name not in await self._names():
            return []
        return await self._call(name, *args)

    async def _names(self) -> frozenset[str]:
        """What every engine answers; they all run the same tiers from the start."""
        if self._known is None:
            names = await self._call(KNOWN_CALLS)
            self._known = frozenset.intersection(*map(frozenset, names))
        return self._known

    async def _call(self, name: str, *args: Any) -> list[Any]:
        """Every engine, where vLLM's own `collective_rpc` would answer for the first alone."""
        replies = await self._engine.engine_core.call_utility_all_async(
            "collective_rpc", name, None, args, None
        )
        return [answer for (answer,) in replies]
