"""vLLM's chat completions: our rules on the way in, the savings in `usage` on the way out."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionResponse
from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
from vllm.entrypoints.serve.engine.protocol import ErrorResponse, UsageInfo
from vllm.exceptions import GenerationError, VLLMClientError

from metacompress_server.errors import RequestError
from metacompress_server.front.messages import (
    count_images,
    neutralise_placeholders,
    refuse_client_identities,
    refuse_unknown_parts,
)
from metacompress_server.pictures.usage import ImageUsage

from .pictures import PictureDesk
from .request_turn import RequestTurn
from .turns import TurnDesk

if TYPE_CHECKING:
    from fastapi import Request
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

Outputs: TypeAlias = AsyncGenerator[Any, None]
Answer: TypeAlias = AsyncGenerator[str, None] | ChatCompletionResponse | ErrorResponse


class CompressingChat(OpenAIServingChat):
    """Made from vLLM's own handler, so that every flag of the server stays as it was given."""

    desk: PictureDesk
    turns: TurnDesk

    @classmethod
    def from_handler(cls, handler: OpenAIServingChat, desk: PictureDesk) -> "CompressingChat":
        """A handler with the state of vLLM's."""
        chat = cls.__new__(cls)
        chat.__dict__.update(handler.__dict__)
        chat.desk = desk
        chat.turns = TurnDesk(desk, "messages")
        return chat

    async def create_chat_completion(
        self, request: "ChatCompletionRequest", raw_request: "Request | None" = None
    ) -> Answer:
        """Answer one request. Raises RequestError and vLLM's own errors, all with a status 400."""
        images = count_images(request.messages)
        try:
            answer = await self._answer(request, raw_request)
        except (RequestError, VLLMClientError, ValueError):
            self.desk.metrics.reject(images)
            raise
        if isinstance(answer, ErrorResponse):
            self.desk.metrics.reject(images)
        return answer

    async def _answer(
        self, request: "ChatCompletionRequest", raw_request: "Request | None"
    ) -> Answer:
        turn = await self.turns.arrive(request, raw_request)
        refuse_client_identities(request.messages)
        refuse_unknown_parts(request.messages)
        if self.desk.placeholder is not None:
            request.messages = neutralise_placeholders(request.messages, self.desk.placeholder)
        try:
            answer: Answer = await super().create_chat_completion(request, raw_request)
        except GenerationError:
            if not turn.lost:
                raise
            answer = await super().create_chat_completion(request, raw_request)
        if isinstance(answer, ErrorResponse):
            return answer
        if isinstance(answer, ChatCompletionResponse):
            savings = await self.turns.finish(turn)
            answer.usage = UsageInfo(**_with_savings(answer.usage.model_dump(), savings))
            return answer
        return await self._begun(answer, request, raw_request)

    async def render_chat_request(self, request: "ChatCompletionRequest") -> Any:
        """As vLLM; notes the pictures and lets the answer end where the model's positions end."""
        asked = request.max_completion_tokens
        asked = request.max_tokens if asked is None else asked
        turn: RequestTurn = request.metacompress_turn
        render = partial(super().render_chat_request, request)
        rendered = await self.turns.render(turn, asked, render, _prompt)
        if isinstance(rendered, ErrorResponse):
            return rendered
        prompt = _prompt(rendered)
        pictures = await self.turns.rendered(turn, prompt)
        room = self.desk.room_for_answer(len(prompt["prompt_token_ids"]), pictures)
        request.max_completion_tokens = room if asked is None else min(asked, room)
        return rendered

    def chat_completion_stream_generator(
        self, request: "ChatCompletionRequest", result_generator: Outputs, *rest: Any, **more: Any
    ) -> AsyncGenerator[str, None]:
        """As vLLM; the first token is timed."""
        outputs = self.turns.timed(result_generator, request.metacompress_turn)
        events: AsyncGenerator[str, None] = super().chat_completion_stream_generator(
            request, outputs, *rest, **more
        )
        return events

    async def chat_completion_full_generator(
        self, request: "ChatCompletionRequest", result_generator: Outputs, *rest: Any, **more: Any
    ) -> ErrorResponse | ChatCompletionResponse:
        """As vLLM; the first token is timed."""
        outputs = self.turns.timed(result_generator, request.metacompress_turn)
        return await super().chat_completion_full_generator(request, outputs, *rest, **more)

    async def _begun(
        self,
        events: AsyncGenerator[str, None],
        request: "ChatCompletionRequest",
        raw_request: "Request | None",
    ) -> Answer:
        """A stream with its first event at hand; of a second try where the first lost a picture.

        Here and not while the events are sent, because the request's pictures are known only in
        the handler's own context.
        """
        first = await anext(events, None)
        if request.metacompress_turn.lost:
            await events.aclose()
            again: Answer = await super().create_chat_completion(request, raw_request)
            if isinstance(again, ErrorResponse | ChatCompletionResponse):
                return again
            events, first = again, await anext(again, None)
        return self._stream(_from(first, events), request.metacompress_turn)

    async def _stream(
        self, events: AsyncGenerator[str, None], turn: RequestTurn
    ) -> AsyncGenerator[str, None]:
        """The same events, with the savings added to the chunk that carries `usage` alone."""
        async with aclosing(events):
            async for event in events:
                if '"choices":[]' in event and '"usage"' in event:
                    chunk = json.loads(event.removeprefix("data: "))
                    chunk["usage"] = _with_savings(chunk["usage"], await self.turns.finish(turn))
                    event = f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
                elif event.startswith(_LAST_EVENT):
                    await self.turns.finish(turn)
                yield event


_LAST_EVENT = "data: [DONE]"


def _prompt(rendered: Any) -> Any:
    """The engine's prompt, of a chat that was rendered; None of an error."""
    return None if isinstance(rendered, ErrorResponse) else rendered[1][0]


async def _from(first: str | None, events: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    async with aclosing(events):
        if first is not None:
            yield first
        async for event in events:
            yield event


def _with_savings(usage: dict[str, Any], savings: ImageUsage) -> dict[str, Any]:
    """vLLM's `usage` with ours in it."""
    details = usage.get("prompt_tokens_details")
    if details is not None:
        details["image_tokens"] = savings.image_tokens
    return {**usage, "metacompress": savings.as_field()}
