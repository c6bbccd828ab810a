"""What the HTTP process knows of pictures: the plan, the limits, and the engine's count of them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from vllm.logger import init_logger

from metacompress_server.cache_metrics import CacheMetrics
from metacompress_server.engine_calls import CACHE_STATS, TIMINGS, EngineCalls, added_up
from metacompress_server.files.store import FileStore
from metacompress_server.pictures.bypass import Bypass
from metacompress_server.pictures.ledger import merge_reports
from metacompress_server.pictures.metrics import ImageMetrics
from metacompress_server.pictures.usage import ImageUsage
from metacompress_server.plan import CompressionPlan
from metacompress_server.prefill_metrics import PrefillMetrics
from metacompress_server.sessions.desk import SessionDesk

from .executor import REPORT

logger = init_logger("vllm.metacompress")


@dataclass
class PictureDesk:
    """One per server.

    plan_in_use: gives the plan for new pictures, None where they are served uncompressed.
    placeholder: the tokenizer's picture token, None where it is not known.
    max_model_len: most tokens of prompt and answer together.
    bypass: draws the dialogues that keep all their tokens.
    leads: whether this is the first of the server's HTTP processes, the one that keeps the metrics.
    """

    engine: EngineCalls
    metrics: ImageMetrics
    caches: CacheMetrics
    prefill: PrefillMetrics
    sessions: SessionDesk
    files: FileStore
    plan_in_use: Callable[[], CompressionPlan | None]
    placeholder: str | None
    max_positions: int
    max_model_len: int
    bypass: Bypass
    leads: bool

    @property
    def plan(self) -> CompressionPlan | None:
        """Of the compressor in use; another one after a reload."""
        return self.plan_in_use()

    def original_tokens(self, num_tokens: int) -> int:
        """Visual tokens that a picture of `num_tokens` placeholders has without compression."""
        plan = self.plan
        return num_tokens if plan is None else plan.num_visual_tokens

    def room_for_answer(self, num_tokens: int, pictures: list[int]) -> int:
        """Tokens that an answer may have before the model's positions end (at least 1).

        Args:
            num_tokens: of the prompt.
            pictures: placeholders of each picture.
        """
        plan = self.plan
        used = num_tokens if plan is None else plan.num_positions(num_tokens, pictures)
        return max(1, self.max_positions - used)

    async def usage(self, ticket: str, pictures: list[int], drawn: bool) -> ImageUsage:
        """What compression saved on a request.

        Args:
            ticket: under which the engine counted.
            pictures: placeholders of each picture.
            drawn: whether they were drawn to keep all their tokens.
        """
        reused: int | None = 0
        if pictures:
            encoded = await self.count(ticket)
            reused = None if encoded is None else len(pictures) - encoded
        original = sum(map(self.original_tokens, pictures))
        return ImageUsage(original, sum(pictures), reused, drawn)

    async def count(self, ticket: str | None = None) -> int | None:
        """Bring the picture counters up to the engines'.

        Returns:
            The pictures encoded for `ticket`; None where the engine keeps no count.
        """
        reports = await self.engine.ask(REPORT, ticket)
        if not reports:
            return None
        totals, encoded = merge_reports(reports)
        if self.leads:
            self.metrics.update(totals, self.plan)
        return encoded

    async def refresh(self) -> None:
        """Bring all metrics up to the engines' count, and the gauges up to date."""
        if not self.leads:
            return
        await self.sessions.refresh()
        reports = await self.engine.ask(REPORT, None)
        if reports:
            totals, _ = merge_reports(reports)
            kv = await self.sessions.kv([]) or {}
            caches = added_up(await self.engine.ask(CACHE_STATS))
            self.metrics.update(totals, self.plan)
            for timings in await self.engine.ask(TIMINGS):
                self.metrics.observe(timings)
            self.caches.update(totals, kv.get("totals", {}), caches.get("encoder", {}))

    async def forget_warm_up(self) -> None:
        """Before the first request the engine encodes pictures that nobody asked for."""
        if self.leads:
            await self.engine.ask(TIMINGS)

    async def refresh_within(self, seconds: float) -> None:
        """`refresh` for a reader who can wait neither for a long step nor for a dead engine."""
        refreshing = asyncio.ensure_future(self.refresh())
        done, _ = await asyncio.wait({refreshing}, timeout=seconds)
        for task in done:
            task.result()

    async def keep_house(self, seconds: float) -> None:
        """Every so often: end what is idle for too long, refresh the metrics. For the leader.

        Whatever goes wrong is logged, and tried again the next time.
        """
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.sessions.expire()
                await self.files.expire()
                await self.refresh()
            except Exception:
                logger.exception("housekeeping failed")
