"""vLLM's `/v1/responses` with pictures, sessions and savings as in chat completions."""

from collections.abc import AsyncGenerator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from vllm.entrypoints.openai.responses.protocol import ResponsesResponse, ResponseUsage
from vllm.entrypoints.openai.responses.serving import OpenAIServingResponses
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.exceptions import GenerationError

from metacompress_server.front.messages import neutralise_placeholders

from .pictures import PictureDesk
from .request_turn import RequestTurn
from .turns import TurnDesk

if TYPE_CHECKING:
    from fastapi import Request
    from vllm.entrypoints.openai.responses.context import ConversationContext
    from vllm.entrypoints.openai.responses.protocol import ResponsesRequest

Answer: TypeAlias = AsyncGenerator[Any, None] | ResponsesResponse | ErrorResponse


class CompressingResponses(OpenAIServingResponses):
    """Made from vLLM's own handler, so that every flag of the server stays as it was given."""

    desk: PictureDesk
    turns: TurnDesk

    @classmethod
    def from_handler(
        cls, handler: OpenAIServingResponses, desk: PictureDesk
    ) -> "CompressingResponses":
        """A handler with the state of vLLM's."""
        responses = cls.__new__(cls)
        responses.__dict__.update(handler.__dict__)
        responses.desk = desk
        responses.turns = TurnDesk(desk, "input")
        return responses

    async def create_responses(
        self, request: "ResponsesRequest", raw_request: "Request | None" = None
    ) -> Answer:
        """Answer one request. Raises RequestError and vLLM's own errors, all with a status 400."""
        await self.turns.arrive(request, raw_request)
        if self.desk.placeholder is not None:
            request.input = neutralise_placeholders(request.input, self.desk.placeholder)
        try:
            answer: Answer = await super().create_responses(request, raw_request)
        except GenerationError:
            turn: RequestTurn = request.metacompress_turn
            if not turn.pictures:
                raise
            turn.lost = True
            answer = await super().create_responses(request, raw_request)
        return answer

    async def _render_resolved_response_inputs(
        self, request: "ResponsesRequest", *rest: Any, **more: Any
    ) -> Any:
        """As vLLM; notes the pictures and lets the answer end where the model's positions end."""
        asked = request.max_output_tokens
        turn: RequestTurn = request.metacompress_turn
        render = partial(super()._render_resolved_response_inputs, request, *rest, **more)
        rendered = await self.turns.render(turn, asked, render, _prompt)
        if isinstance(rendered, ErrorResponse):
            return rendered
        prompt = _prompt(rendered)
        pictures = await self.turns.rendered(turn, prompt)
        room = self.desk.room_for_answer(len(prompt["prompt_token_ids"]), pictures)
        request.max_output_tokens = room if asked is None else min(asked, room)
        return rendered

    async def responses_full_generator(
        self,
        request: "ResponsesRequest",
        sampling_params: Any,
        result_generator: Any,
        context: "ConversationContext",
        *rest: Any,
        **more: Any,
    ) -> ErrorResponse | ResponsesResponse:
        """As vLLM, for whole answers and for the last event of a stream; with the savings."""
        answer = await super().responses_full_generator(
            request, sampling_params, result_generator, context, *rest, **more
        )
        if isinstance(answer, ResponsesResponse) and answer.usage is not None:
            turn = request.metacompress_turn
            self.turns.first_token(turn, context.request_metrics)
            answer.usage = await self._with_savings(answer.usage, turn)
        return answer

    async def _with_savings(self, usage: ResponseUsage, turn: RequestTurn) -> ResponseUsage:
        turn.prompt_tokens = usage.input_tokens
        turn.cached_tokens = usage.input_tokens_details.cached_tokens
        savings = await self.turns.finish(turn)
        fields = usage.model_dump()
        fields["input_tokens_details"]["image_tokens"] = savings.image_tokens
        return ResponseUsage(**fields, metacompress=savings.as_field())


def _prompt(rendered: Any) -> Any:
    """The engine's prompt, of an input that was rendered; None of an error."""
    return None if isinstance(rendered, ErrorResponse) else rendered.engine_input
