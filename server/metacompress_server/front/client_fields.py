"""Fields of a generating request that a client may not set, and how much it may ask for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from metacompress_server.errors import RequestError
from metacompress_server.settings import ServerSettings
from metacompress_server.tenants import Tenant

FORBIDDEN = (
    *("chat_template", "chat_template_kwargs", "documents", "mm_processor_kwargs"),
    *("media_io_kwargs", "kv_transfer_params", "ec_transfer_params", "cache_salt"),
    *("prompt_embeds", "vllm_xargs", "request_id", "mm_payload", "return_mm_kwargs"),
    *("multi_modal_data", "multi_modal_uuids", "mm_hashes", "previous_input_messages"),
)
"""They choose what is computed, cached or shown here, and are the server's to set."""

_FORBIDDEN_VALUES = {"echo": True, "use_beam_search": True, "background": True}
_OBJECTS = ("structured_outputs", "response_format", "stream_options")
"""vLLM looks into some of these before it checks their type."""

_LATER = ("prompt_token_ids", "prompt_embeds", "image_embeds", "audio_embeds", "uuid")


@dataclass(frozen=True)
class Demand:
    """What one request asks for.

    images: pictures in it.
    sequences: answers.
    """

    images: int
    sequences: int


def check_fields(body: dict[str, Any], settings: ServerSettings, tenant: Tenant) -> Demand:
    """Refuse what is not the client's to say, and more than it may have.

    Raises:
        RequestError: naming the field.
    """
    for name in FORBIDDEN:
        if name in body:
            _unsupported(name)
    for name, value in _FORBIDDEN_VALUES.items():
        if body.get(name) == value:
            _unsupported(name)
    if body.get("priority") not in (None, 0):
        _unsupported("priority")
    if body.get("previous_response_id") is not None:
        _unsupported("previous_response_id")
    for name in _OBJECTS:
        if not isinstance(body.get(name), dict | None):
            raise RequestError(f"`{name}` is an object", param=name, code="invalid_type")
    _check_prompt(body.get("prompt"))
    demand = Demand(_count_images(body), _sequences(body))
    _check_amounts(body, demand, settings, tenant)
    return demand


def _check_prompt(prompt: Any) -> None:
    """Of `/v1/completions`: text, never token ids, which could be those of pictures."""
    prompts = prompt if isinstance(prompt, list) else [prompt]
    if any(isinstance(one, int | list) for one in prompts):
        raise RequestError("prompts are text", param="prompt", code="invalid_value")


def _count_images(body: dict[str, Any]) -> int:
    images = int("image_url" in body)  # a look's body is itself the part of one picture
    for name in ("messages", "input"):
        for path, part in _parts(body.get(name), name):
            for field in _LATER:
                if part.get(field) is not None:
                    _unsupported(f"{path}.{field}")
            if str(part.get("type", "")).endswith("_embeds"):
                _unsupported(f"{path}.type")
            kind = str(part.get("type", ""))
            images += "image" in kind or kind == "file" or "image_url" in part
    return images


def _parts(messages: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every message and every content part, those of tools' answers included, with its place."""
    if isinstance(messages, list):
        for i, item in enumerate(messages):
            if isinstance(item, dict):
                yield f"{path}[{i}]", item
                for name in ("content", "output"):
                    yield from _parts(item.get(name), f"{path}[{i}].{name}")


def _sequences(body: dict[str, Any]) -> int:
    n = body.get("n")
    prompts = body.get("prompt")
    several = len(prompts) if isinstance(prompts, list) else 1
    return max(1, several) * (n if type(n) is int and n > 0 else 1)


def _check_amounts(
    body: dict[str, Any], demand: Demand, settings: ServerSettings, tenant: Tenant
) -> None:
    if demand.sequences > settings.max_choices:
        _too_much("n", f"{settings.max_choices} answers in one request", "invalid_value")
    allowed = settings.max_images_per_request
    if tenant.max_images_per_request is not None:
        allowed = min(allowed, tenant.max_images_per_request)
    if demand.images > allowed:
        raise RequestError(
            f"at most {allowed} pictures in one request, not {demand.images}",
            param="messages",
            code="too_many_images",
        )
    for name in ("messages", "input"):
        items = body.get(name)
        if isinstance(items, list) and len(items) > settings.max_messages:
            _too_much(name, f"{settings.max_messages} messages in one request", "invalid_value")
    if settings.max_output_tokens is not None:
        for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
            asked = body.get(name)
            if isinstance(asked, int | float) and asked > settings.max_output_tokens:
                _too_much(name, f"{settings.max_output_tokens} tokens", "invalid_value")


def _too_much(param: str, allowed: str, code: str) -> None:
    raise RequestError(f"at most {allowed}", param=param, code=code)


def _unsupported(param: str) -> None:
    raise RequestError(
        f"`{param}` is not accepted from clients", param=param, code="unsupported_parameter"
    )
