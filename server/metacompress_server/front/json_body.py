"""JSON of strangers: read strictly, so that nothing behind it is surprised."""

import json
import math
from typing import Any, NoReturn

from metacompress_server.errors import RequestError

_DEEPEST = 48


def read_json(body: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8.

    Raises:
        RequestError: no JSON object, nested too deeply, numbers that are none, broken text.
    """
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_no_number, parse_float=_number)
    except (ValueError, RecursionError):
        raise RequestError("the request is not JSON", code="invalid_json") from None
    if not isinstance(value, dict):
        raise RequestError("the request is not a JSON object", code="invalid_json")
    _check(value, 0)
    return value


def with_field(body: bytes, name: str, value: str) -> bytes:
    """The same JSON object with one more field, which wins over one of the same name.

    Args:
        body: as `read_json` takes it.
    """
    head = body.rstrip()[:-1].rstrip()
    comma = b"" if head.endswith(b"{") and len(head.lstrip()) == 1 else b", "
    return head + comma + json.dumps(name).encode() + b": " + json.dumps(value).encode() + b"}"


def _check(value: Any, depth: int) -> None:
    if depth > _DEEPEST:
        raise RequestError("the request is nested too deeply", code="invalid_json")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key)
            _check(item, depth + 1)


def _check_text(text: str) -> None:
    """Half a surrogate pair is valid JSON and no text; tokenizers crash on it."""
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise RequestError("the request holds broken text", code="invalid_json") from None


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("too large")
    return value


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)
