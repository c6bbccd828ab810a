"""What a client may say in a picture's `detail`, and which budget it names."""

from typing import Any

from metacompress_server.errors import RequestError
from metacompress_server.settings import ServerSettings

DETAILS = ("low", "auto", "high")
"""Budgets that every client may ask for."""

UNCOMPRESSED = "full"
"""The picture keeps all its tokens: for clients only where the operator says so."""

OPENAIS_WORD = "original"
"""OpenAI's name for what we call `UNCOMPRESSED`, the only one that vLLM's `/v1/responses` reads."""


def understood(detail: Any, where: str) -> str | None:
    """The budget that a picture's `detail` names; None where it names none.

    Raises:
        RequestError: another word, or all tokens on a server that does not serve them.
    """
    if detail is None or detail in DETAILS:
        return detail  # type: ignore[no-any-return]
    if detail not in (UNCOMPRESSED, OPENAIS_WORD):
        raise RequestError(
            f"detail is low, high or auto, not {detail!r}", param=where, code="invalid_value"
        )
    if not ServerSettings.current().serve_uncompressed:
        raise RequestError(
            f"detail {detail!r} is off on this server (--serve-uncompressed): "
            "it is low, high or auto",
            param=where,
            code="invalid_value",
        )
    return UNCOMPRESSED


def in_openais_words(items: Any) -> Any:
    """The same input of a response, with OpenAI's word wherever a picture says ours."""
    if isinstance(items, list):
        return [in_openais_words(item) for item in items]
    if not isinstance(items, dict):
        return items
    if items.get("type") == "input_image" and items.get("detail") == UNCOMPRESSED:
        return {**items, "detail": OPENAIS_WORD}
    nested = {
        name: in_openais_words(items[name]) for name in ("content", "output") if name in items
    }
    return {**items, **nested}
