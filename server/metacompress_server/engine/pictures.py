"""What the HTTP process knows of pictures: the plan, the limits, and the engine's count of them."""

import asyncio
from dataclasses import dataclass

from vllm.v1.engine.async_llm import AsyncLLM

from metacompress_server.ledger import merge_reports
from metacompress_server.metrics import ImageMetrics
from metacompress_server.plan import CompressionPlan
from metacompress_server.usage import ImageUsage

from .executor import REPORT


@dataclass
class PictureDesk:
    """One per server.

    plan: None where pictures are served uncompressed.
    placeholder: the tokenizer's picture token, None where it is not known.
    counted: whether the engine's executor keeps a ledger.
    leads: whether this is the first of the server's HTTP processes, the one that keeps the metrics.
    """

    engine: AsyncLLM
    metrics: ImageMetrics
    plan: CompressionPlan | None
    placeholder: str | None
    max_positions: int
    counted: bool
    leads: bool

    def room_for_answer(self, num_tokens: int, num_pictures: int) -> int:
        """Tokens that an answer may have before the model's positions end (at least 1)."""
        used = (
            num_tokens if self.plan is None else self.plan.num_positions(num_tokens, num_pictures)
        )
        return max(1, self.max_positions - used)

    async def usage(self, ticket: str, pictures: list[int]) -> ImageUsage:
        """What compression saved on a request.

        Args:
            ticket: under which the engine counted.
            pictures: placeholders of each picture.
        """
        kept = sum(pictures)
        original = kept if self.plan is None else len(pictures) * self.plan.num_visual_tokens
        reused: int | None = 0
        if pictures:
            encoded = await self.refresh(ticket)
            reused = None if encoded is None else len(pictures) - encoded
        return ImageUsage(original, kept, reused)

    async def refresh(self, ticket: str | None = None) -> int | None:
        """Bring the metrics up to the engines' count. Returns the pictures encoded for `ticket`."""
        if not self.counted:
            return None
        engines = self.engine.engine_core
        reports = await engines.call_utility_all_async(
            "collective_rpc", REPORT, None, (ticket,), None
        )
        totals, encoded = merge_reports(report for (report,) in reports)
        if self.leads:
            self.metrics.update(totals)
        return encoded

    async def refresh_within(self, seconds: float) -> None:
        """`refresh` for a reader who can wait neither for a long step nor for a dead engine."""
        if self.engine.errored:
            return
        refreshing = asyncio.ensure_future(self.refresh())
        done, _ = await asyncio.wait({refreshing}, timeout=seconds)
        for task in done:
            task.result()
