"""What the HTTP process knows of pictures: the plan, the limits, and the engine's count of them."""

from dataclasses import dataclass

from vllm.engine.protocol import EngineClient

from metacompress_server.ledger import PictureTotals
from metacompress_server.metrics import ImageMetrics
from metacompress_server.plan import CompressionPlan
from metacompress_server.usage import ImageUsage

from .executor import REPORT


@dataclass
class PictureDesk:
    """One per server.

    plan: None where pictures are served uncompressed.
    placeholder: the tokenizer's picture token.
    counted: whether the engine's executor keeps a ledger.
    """

    engine: EngineClient
    metrics: ImageMetrics
    plan: CompressionPlan | None
    placeholder: str
    max_positions: int
    counted: bool

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
        """Bring the metrics up to the engine's count. Returns the pictures encoded for `ticket`."""
        if not self.counted:
            return None
        (report,) = await self.engine.collective_rpc(REPORT, args=(ticket,))
        encoded: int | None = report.pop("encoded")
        self.metrics.update(PictureTotals(**report))
        return encoded
