"""A request's way from its arrival to its last token, alike in chat and responses."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from metacompress_server.errors import RequestError
from metacompress_server.pictures.details import UNCOMPRESSED
from metacompress_server.pictures.parts import with_handles
from metacompress_server.pictures.sources import begin_pictures, handed_out, override_detail
from metacompress_server.pictures.usage import ImageUsage
from metacompress_server.request_context import current_request
from metacompress_server.sessions.ids import SESSION_HEADER, scoped_session_id, session_id_of
from metacompress_server.sessions.records import SessionPicture
from metacompress_server.tenants import Tenant, current_tenant

from .executor import TICKET
from .processor import TooManyPositions
from .request_turn import RequestTurn
from .turn_spans import trace_turn, wall_clock

if TYPE_CHECKING:
    from fastapi import Request

    from .pictures import PictureDesk

ANSWER_HEADERS = "metacompress_answer_headers"
"""Where a request's state keeps headers for its answer, by name."""

BYPASS_HEADER = "X-MetaCompress-Bypassed"
"""Says `true` where the dialogue was drawn to keep all its visual tokens."""

KV_SESSION = "metacompress_session"
"""Key in `kv_transfer_params`: whose the request's KV is."""


class TurnDesk:
    """What chat and responses do alike. `messages` is the request's name for its list."""

    def __init__(self, pictures: "PictureDesk", messages: str) -> None:
        self._pictures = pictures
        self._messages = messages

    async def arrive(self, request: Any, raw_request: "Request | None") -> RequestTurn:
        """Find the session, replace each picture by a handle, and tell the engine whose it is.

        Raises:
            RequestError: two sessions, a file that is not there, a part that makes no sense.
        """
        tenant = current_tenant()
        session_id = session_id_of(_named(request, raw_request))
        messages = getattr(request, self._messages)
        turn = RequestTurn(tenant, session_id, later=_has_answer(messages))
        begin_pictures()
        if not isinstance(messages, str):
            setattr(request, self._messages, await self._with_handles(tenant, messages))
        request.cache_salt = tenant.cache_salt
        request.session_id = request.kv_transfer_params = None
        if session_id is not None:
            scoped = scoped_session_id(tenant, session_id)
            request.session_id = scoped
            request.kv_transfer_params = {KV_SESSION: scoped}
            turn.headers[SESSION_HEADER] = session_id
            if (running := current_request()) is not None:
                running.in_session(scoped)
        if raw_request is not None:
            setattr(raw_request.state, ANSWER_HEADERS, turn.headers)
        self._draw(turn)
        request.vllm_xargs = {**(request.vllm_xargs or {}), TICKET: turn.ticket}
        request.metacompress_turn = turn
        return turn

    async def render(
        self,
        turn: RequestTurn,
        answer_tokens: int | None,
        render: Callable[[], Awaitable[Any]],
        prompt_of: Callable[[Any], Any],
    ) -> Any:
        """What `render` gives. A drawn dialogue without room for all its tokens is compressed.

        Args:
            answer_tokens: asked for; None where the answer may be as long as it likes, for which
                half of the model's length is kept free.
            prompt_of: the engine's prompt in what `render` gives, None where it gave an error.
        """
        if not turn.drawn:
            return await render()
        room = self._pictures.max_model_len
        try:
            rendered = await render()
            prompt = prompt_of(rendered)
            needed = room // 2 if answer_tokens is None else answer_tokens
            if prompt is None or len(prompt["prompt_token_ids"]) + needed <= room:
                return rendered
        except TooManyPositions:
            pass
        turn.drawn = False
        del turn.headers[BYPASS_HEADER]
        override_detail(None)
        return await render()

    async def rendered(self, turn: RequestTurn, prompt: Any) -> list[int]:
        """Note the pictures of the prompt, and the turn in its session.

        Returns:
            Placeholders of each picture.

        Raises:
            RequestError: the session is full.
        """
        places = prompt.get("mm_placeholders", {}).get("image", [])
        spans = [place.length for place in places]
        identities = prompt.get("mm_hashes", {}).get("image", [])
        sources = handed_out()
        if not len(spans) == len(identities) == len(sources):
            raise RequestError(
                f"{len(sources)} pictures were sent, the prompt has {len(spans)}",
                param=self._messages,
                code="invalid_prompt",
            )
        turn.placeholders = [(place.offset, place.length) for place in places]
        turn.pictures = [
            SessionPicture(
                identity, source.detail or "auto", self._pictures.original_tokens(length), length
            )
            for identity, source, length in zip(identities, sources, spans, strict=True)
        ]
        if turn.session_id is not None and not turn.lost:
            noted = await self._pictures.sessions.begin_turn(
                turn.tenant, turn.session_id, turn.pictures
            )
            turn.later |= noted.number > 1
        turn.rendered = time.monotonic()
        return spans

    async def timed(
        self, outputs: AsyncGenerator[Any, None], turn: RequestTurn
    ) -> AsyncGenerator[Any, None]:
        """The same outputs; notes when the first token was there, and what was found cached."""
        first = True
        async with aclosing(outputs):
            async for output in outputs:
                if first and _gave_up(output) and turn.pictures:
                    turn.lost = True
                elif first:
                    turn.prompt_tokens = len(output.prompt_token_ids or ())
                    turn.cached_tokens = output.num_cached_tokens or 0
                    self.first_token(turn, output.metrics)
                first = False
                yield output

    def first_token(self, turn: RequestTurn, stats: Any) -> None:
        """Note how long the first token took: up to the engine by our clock, from there by its own.

        So an answer in one piece is timed like a stream.

        Args:
            turn: rendered.
            stats: vLLM's of the request; None where the operator switched them off.
        """
        if stats is not None:
            seconds = turn.rendered - turn.arrived + stats.first_token_latency
            turn.prefill_s = stats.first_token_ts - stats.scheduled_ts
            turn.prefill_start_s = wall_clock(stats.scheduled_ts, since=stats.arrival_time)
            self._pictures.sessions.metrics.first_token(turn.later, turn.served, seconds)

    async def finish(self, turn: RequestTurn) -> ImageUsage:
        """What compression saved on a request that has its answer; noted in its session, once."""
        if turn.savings is None:
            pictures = [picture.tokens_kept for picture in turn.pictures]
            turn.savings = await self._pictures.usage(turn.ticket, pictures, turn.drawn)
            self._pictures.prefill.note(turn.prefill(turn.savings), later_turn=turn.later)
            await trace_turn(turn, turn.savings, self._pictures.engine)
            if turn.session_id is not None:
                await self._pictures.sessions.store.finish_turn(
                    turn.tenant.name,
                    turn.session_id,
                    turn.prompt_tokens,
                    turn.cached_tokens,
                    turn.savings.images_reused or 0,
                )
        return turn.savings

    def _draw(self, turn: RequestTurn) -> None:
        """Decide whether the dialogue keeps all its tokens. Needs the request's handles."""
        pictures = handed_out()
        if pictures and self._pictures.bypass.draws(turn.tenant, turn.session_id, pictures[0]):
            turn.drawn = True
            turn.headers[BYPASS_HEADER] = "true"
            override_detail(UNCOMPRESSED)

    async def _with_handles(self, tenant: Tenant, messages: list[Any]) -> list[Any]:
        async def read_file(file_id: str) -> bytes:
            content = await self._pictures.files.read(tenant.name, file_id)
            self._pictures.sessions.metrics.upload_avoided()
            return content

        return await with_handles(messages, read_file, self._messages)


def _named(request: Any, raw_request: "Request | None") -> dict[str, str | None]:
    """Every place where a request may name its session; later ones are blamed for a conflict."""
    return {
        SESSION_HEADER: None if raw_request is None else raw_request.headers.get(SESSION_HEADER),
        "session_id": request.session_id,
        "prompt_cache_key": _cache_key(request),
    }


def _cache_key(request: Any) -> str | None:
    key = getattr(request, "prompt_cache_key", None)
    if key is None or isinstance(key, str):
        return key
    raise RequestError(
        "prompt_cache_key is a string", param="prompt_cache_key", code="invalid_value"
    )


def _gave_up(output: Any) -> bool:
    """Whether the engine ended a request with an error of its own."""
    return any(answer.finish_reason == "error" for answer in output.outputs)


def _has_answer(messages: Any) -> bool:
    """Whether the assistant has spoken before."""
    return not isinstance(messages, str) and any(
        isinstance(message, dict) and message.get("role") == "assistant" for message in messages
    )
