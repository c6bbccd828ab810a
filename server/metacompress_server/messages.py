"""Chat messages of strangers: what a client may not decide, and text that must stay text."""

from typing import Any

from .errors import RequestError


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


def refuse_foreign_urls(messages: list[dict[str, Any]], schemes: tuple[str, ...]) -> None:
    """Refuse pictures that the server would have to fetch, unless it was started to fetch them.

    Args:
        messages: of the request.
        schemes: accepted beginnings of a picture's URL, `data:` for data URLs.

    Raises:
        RequestError: naming the part.
    """
    for i, message in enumerate(messages):
        parts = message.get("content")
        for j, part in enumerate(parts if isinstance(parts, list) else []):
            url = _picture_url(part)
            if url is not None and not url.lower().startswith(schemes):
                raise RequestError(
                    f"this server takes pictures as {' or '.join(schemes)} URLs",
                    param=f"messages[{i}].content[{j}].image_url.url",
                    code="invalid_image_url",
                )


def _picture_url(part: Any) -> str | None:
    if not isinstance(part, dict) or part.get("type") not in ("image_url", "input_image"):
        return None
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return url if isinstance(url, str) else None


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
        isinstance(part, dict) and "image" in str(part.get("type", ""))
        for message in messages
        for part in (message["content"] if isinstance(message.get("content"), list) else [])
    )
