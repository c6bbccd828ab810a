"""Errors that vLLM, FastAPI or Starlette wrote, said as OpenAI says them."""

import re
from typing import Any

from metacompress_server.errors import envelope
from metacompress_server.pictures.refusals import PICTURE_REFUSALS

# What vLLM and our own checks inside it say, and what OpenAI calls it: code and parameter.
_KNOWN = (
    (re.compile(r"The model `.*` does not exist"), "model_not_found", "model"),
    (re.compile(r"maximum (context|model) length"), "context_length_exceeded", "messages"),
    (re.compile(r"^At most \d+ image"), "too_many_images", "messages"),
    *((re.compile(f"^{text}$"), code, "messages") for code, text in PICTURE_REFUSALS.items()),
    (re.compile(r"^the prompt has \d+ picture placeholders"), "invalid_prompt", "messages"),
)

# The first complaint of pydantic, as vLLM's handler and as pydantic itself write it.
_INVALID = re.compile(
    r"'loc': '(?P<loc>[^']*)', 'msg': '(?P<msg>[^']*)'"
    r"|validation errors? for .*\n(?P<line>\S+)\n  (?P<text>.+?) \[type="
)

_PHRASES = {
    401: "Missing or wrong API key",
    404: "Not found",
    405: "Method not allowed",
    500: "The server could not answer this request.",
}


def translate(status: int, body: Any) -> dict[str, Any]:
    """Any error body that vLLM, FastAPI or Starlette writes, in OpenAI's envelope."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return envelope(status, _PHRASES.get(status, "The request was refused."))
    code, param = error.get("code"), error.get("param")
    message = re.sub(r" \(parameter=.*\)$", "", str(error.get("message")), flags=re.DOTALL)
    if isinstance(code, str):
        return envelope(status, message, param, code)
    if status >= 500:
        return envelope(status, _PHRASES[500])
    for pattern, known_code, known_param in _KNOWN:
        if pattern.search(message):
            return envelope(status, message, known_param, known_code)
    return _invalid_value(status, message) or envelope(status, message, param)


def _invalid_value(status: int, message: str) -> dict[str, Any] | None:
    """Pydantic's first complaint in one line; None for any other message."""
    found = _INVALID.search(message)
    if found is None:
        return None
    if found["msg"] == "JSON decode error":
        return envelope(status, "the request is not JSON", None, "invalid_json")
    field = (found["loc"] or found["line"]).removeprefix("body.")
    return envelope(status, f"{field}: {found['msg'] or found['text']}", field, "invalid_value")
