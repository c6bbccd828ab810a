"""vLLM's chat completions: our rules on the way in, the savings in `usage` on the way out."""

import json
import uuid
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, TypeAlias

from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionResponse
from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.exceptions import VLLMClientError

from metacompress_server.errors import RequestError
from metacompress_server.messages import (
    count_images,
    neutralise_placeholders,
    refuse_client_identities,
    refuse_unknown_parts,
)
from metacompress_server.usage import ImageUsage

from .executor import TICKET
from .pictures import PictureDesk

if TYPE_CHECKING:
    from fastapi import Request
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

Answer: TypeAlias = AsyncGenerator[str, None] | ChatCompletionResponse | ErrorResponse


class CompressingChat(OpenAIServingChat):
    """Made from vLLM's own handler, so that every flag of the server stays as it was given."""

    desk: PictureDesk

    @classmethod
    def from_handler(cls, handler: OpenAIServingChat, desk: PictureDesk) -> "CompressingChat":
        """A handler with the state of vLLM's."""
        chat = cls.__new__(cls)
        chat.__dict__.update(handler.__dict__)
        chat.desk = desk
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
        refuse_client_identities(request.messages)
        refuse_unknown_parts(request.messages)
        if self.desk.placeholder is not None:
            request.messages = neutralise_placeholders(request.messages, self.desk.placeholder)
        ticket = uuid.uuid4().hex
        request.vllm_xargs = {**(request.vllm_xargs or {}), TICKET: ticket}
        answer: Answer = await super().create_chat_completion(request, raw_request)
        if isinstance(answer, ErrorResponse):
            return answer
        if isinstance(answer, ChatCompletionResponse):
            usage = await self.desk.usage(ticket, request.metacompress_pictures)
            answer.usage.metacompress = usage.as_field()
            return answer
        return self._stream(answer, ticket, request.metacompress_pictures)

    async def render_chat_request(self, request: "ChatCompletionRequest") -> Any:
        """As vLLM; notes the pictures and lets the answer end where the model's positions end."""
        rendered = await super().render_chat_request(request)
        if isinstance(rendered, ErrorResponse):
            return rendered
        _, (prompt,) = rendered
        pictures = [span.length for span in prompt.get("mm_placeholders", {}).get("image", [])]
        request.metacompress_pictures = pictures
        room = self.desk.room_for_answer(len(prompt["prompt_token_ids"]), len(pictures))
        asked = request.max_completion_tokens
        asked = request.max_tokens if asked is None else asked
        request.max_completion_tokens = room if asked is None else min(asked, room)
        return rendered

    async def _stream(
        self, events: AsyncGenerator[str, None], ticket: str, pictures: list[int]
    ) -> AsyncGenerator[str, None]:
        """The same events, with the savings added to the chunk that carries `usage` alone."""
        async for event in events:
            if '"choices":[]' in event and '"usage"' in event:
                chunk = json.loads(event.removeprefix("data: "))
                usage: ImageUsage = await self.desk.usage(ticket, pictures)
                chunk["usage"]["metacompress"] = usage.as_field()
                event = f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
            yield event
