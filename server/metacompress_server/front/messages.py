"""Chat messages of strangers: what a client may not decide, and text that must stay text."""

from typing import Any

from metacompress_server.errors import RequestError


def refuse_client_identities(messages: list[dict[str, Any]]) -> None:
    """Refuse `uuid` on content parts.

    vLLM takes it for the picture's identity in every cache: another picture sent under the same
    uuid would get the first one's answer. This server knows a picture by its content.

    Raises:
        RequestError: naming the part.
    """
    for i, message in enumerate(messages):
        parts = message.get("content")
        for j, part in enumerate(parts if isinstance(parts, list) else []):
            if isinstance(part, dict) and part.get("uuid") is not None:
                raise RequestError(
                    "picture ids from clients are not accepted; leave `uuid` out: "
                    "the server recognises a picture by its content",
                    param=f"messages[{i}].content[{j}].uuid",
                    code="unsupported_parameter",
                )


def refuse_unknown_parts(messages: list[dict[str, Any]]) -> None:
    """Refuse content that is neither text nor a picture: vLLM takes more, this model does not.

    Raises:
        RequestError: naming the part.
    """
    for i, message in enumerate(messages):
        parts = message.get("content")
        for j, part in enumerate(parts if isinstance(parts, list) else []):
            kind = part.get("type") if isinstance(part, dict) else None
            if kind not in _PARTS:
                raise RequestError(
                    f"content parts are {' or '.join(_PARTS)}, not {kind!r}",
                    param=f"messages[{i}].content[{j}].type",
                    code="invalid_value",
                )


_PARTS = ("text", "image_url", "refusal")


def neutralise_placeholders(value: Any, placeholder: str) -> Any:
    """The same messages with `placeholder` broken up wherever somebody typed it.

    Typed into text, the picture placeholder would become the token that stands for a picture, and
    the request would have more placeholders than pictures.

    Args:
        value: messages, or anything in them.
        placeholder: the tokenizer's picture token, such as `<image>`.
    """
    if isinstance(value, str):
        return value.replace(placeholder, placeholder[0] + " " + placeholder[1:])
    if isinstance(value, list):
        return [neutralise_placeholders(item, placeholder) for item in value]
    if isinstance(value, dict):
        return {key: neutralise_placeholders(item, placeholder) for key, item in value.items()}
    return value


def count_images(messages: list[dict[str, Any]]) -> int:
    """How many content parts are pictures."""
    return sum(
        isinstance(part, dict) and ("image" in str(part.get("type")) or part.get("type") == "file")
        for message in messages
        for part in (message["content"] if isinstance(message.get("content"), list) else [])
    )
