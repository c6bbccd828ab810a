"""`/v1/models` as OpenAI has it, with the compressor in the card and without the model's path."""

from typing import Any

from fastapi import APIRouter, Request

from .errors import RequestError
from .pictures.details import DETAILS
from .settings import ServerSettings

router = APIRouter()


@router.get("/v1/models")
async def list_models(request: Request) -> dict[str, Any]:
    """Every model that a request may name."""
    return {"object": "list", "data": await _cards(request)}


@router.get("/v1/models/{name:path}")
async def retrieve_model(request: Request, name: str) -> dict[str, Any]:
    """One model's card. Raises RequestError (404) where there is none of that name."""
    for card in await _cards(request):
        if card["id"] == name:
            return card
    raise RequestError(
        "this model does not exist", param="model", code="model_not_found", status=404
    )


async def _cards(request: Request) -> list[dict[str, Any]]:
    state = request.app.state
    models = await state.openai_serving_models.show_available_models()
    pictures = state.pictures
    return [
        _card(model.model_dump(mode="json"), pictures.plan, pictures.sessions.bytes_per_token)
        for model in models.data
    ]


def _card(card: dict[str, Any], plan: Any, bytes_per_token: int) -> dict[str, Any]:
    """vLLM's card says where on the server the model lies; nobody outside needs to know."""
    compressor = None
    if plan is not None:
        compressor = {
            "digest": plan.identity[:12],
            "image_tokens_original": plan.num_visual_tokens,
            "image_tokens": {detail: plan.budget(detail).num_tokens for detail in DETAILS},
            "kv_bytes_per_token": bytes_per_token,
            "serves_uncompressed": ServerSettings.current().serve_uncompressed,
        }
    return {**card, "root": card["id"], "metacompress": compressor}
