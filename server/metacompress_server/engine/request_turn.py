"""What is known of one request, filled in on its way: session, pictures, times, savings."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from metacompress_server.pictures.usage import ImageUsage
from metacompress_server.prefill_metrics import Prefill
from metacompress_server.sessions.records import SessionPicture
from metacompress_server.tenants import Tenant
from metacompress_server.tracing import current_context


@dataclass
class RequestTurn:
    """What is known of a request.

    session_id: the client's, None without one.
    ticket: under which the engine counts its pictures.
    arrived, rendered: by the monotonic clock.
    later: whether the dialogue has turns before this one.
    pictures: in the order of the prompt, known once it is rendered.
    placeholders: of each picture the first one's index, and how many there are.
    prompt_tokens, cached_tokens, prefill_s: known with the first token.
    prefill_start_s: likewise, since 1970.
    savings: known with the last.
    trace: what the request's spans belong to; None when nothing is traced.
    drawn: whether all pictures keep their tokens, to measure what compression saves.
    headers: for the answer.
    lost: the engine had no data of a picture that this process took for sent, and gave up. That
        happens after a request that was refused, or hung up on, between processor and engine.
    """

    tenant: Tenant
    session_id: str | None
    later: bool
    ticket: str = field(default_factory=lambda: uuid.uuid4().hex)
    arrived: float = field(default_factory=time.monotonic)
    rendered: float = 0.0
    pictures: Sequence[SessionPicture] = ()
    placeholders: Sequence[tuple[int, int]] = ()
    prompt_tokens: int = 0
    cached_tokens: int = 0
    prefill_s: float | None = None
    prefill_start_s: float = 0.0
    savings: ImageUsage | None = None
    lost: bool = False
    drawn: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    trace: Any = field(default_factory=current_context)

    @property
    def served(self) -> str:
        """How the pictures were served, as the metrics say it."""
        if not self.pictures:
            return "none"
        if self.drawn:
            return "bypassed"
        compressed = any(one.tokens_kept < one.tokens_original for one in self.pictures)
        return "compressed" if compressed else "full"

    def prefill(self, savings: ImageUsage) -> Prefill:
        """What the prefill did; pictures that lay in the cached prefix avoided nothing in it."""
        avoided = sum(
            picture.tokens_original - picture.tokens_kept
            for picture, (start, length) in zip(self.pictures, self.placeholders, strict=True)
            if start + length > self.cached_tokens
        )
        return Prefill(
            computed_tokens=self.prompt_tokens - self.cached_tokens,
            avoided_tokens=avoided,
            seconds=self.prefill_s,
            tower_ran=savings.images_reused != len(self.pictures),
        )
