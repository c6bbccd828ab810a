from typing import Any

import pytest

from metacompress_server.front.error_translation import translate
from metacompress_server.pictures.refusals import PICTURE_REFUSALS


def vllm_error(message: str, code: int = 400, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "BadRequestError", "param": param, "code": code}}


@pytest.mark.parametrize(
    ("status", "message", "code", "param"),
    [
        (404, "The model `nope` does not exist.", "model_not_found", "model"),
        (400, "This model's maximum context length is 5 tokens.", "context_length_exceeded", None),
        (400, "At most 16 image(s) may be provided in one prompt.", "too_many_images", None),
        *((400, text, code, None) for code, text in PICTURE_REFUSALS.items()),
        (400, "the prompt has 2 picture placeholders for 1 pictures", "invalid_prompt", None),
        (400, "something else", None, "old"),
    ],
)
def test_what_vllm_says_in_openais_words(
    status: int, message: str, code: str | None, param: str | None
) -> None:
    error = translate(status, vllm_error(message, status, "old"))["error"]
    assert error["code"] == code
    assert error["param"] == (param or "messages")
    assert error["type"] == "invalid_request_error"
    assert error.keys() == {"message", "type", "param", "code"}


def test_vllms_appended_parameter_is_cut() -> None:
    error = translate(400, vllm_error("max_tokens must be at least 1. (parameter=x, value=0)"))
    assert error["error"]["message"] == "max_tokens must be at least 1."


@pytest.mark.parametrize(
    ("message", "text", "param"),
    [
        (
            "2 validation errors:\n  {'type': 'missing', 'loc': 'body.messages', "
            "'msg': 'Field required', 'input': '<dict>'}\n",
            "messages: Field required",
            "messages",
        ),
        (
            "1 validation error for Part\nimage_url.url\n  Field required [type=missing, x]\n"
            "    For further information visit https://errors.pydantic.dev/2/v/missing",
            "image_url.url: Field required",
            "image_url.url",
        ),
    ],
)
def test_pydantics_first_complaint_becomes_one_line(message: str, text: str, param: str) -> None:
    error = translate(400, vllm_error(message))["error"]
    assert (error["message"], error["param"], error["code"]) == (text, param, "invalid_value")


def test_a_body_that_is_not_json() -> None:
    message = "1 validation error:\n  {'loc': 'body.1', 'msg': 'JSON decode error', 'ctx': {}}"
    assert translate(400, vllm_error(message))["error"]["code"] == "invalid_json"


def test_nothing_of_an_internal_error_reaches_the_client() -> None:
    error = translate(500, vllm_error("KeyError at 10.0.0.1", 500))["error"]
    assert error["type"] == "server_error"
    assert "10.0.0.1" not in error["message"]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"error": "Unauthorized"}, "authentication_error"),
        (404, {"detail": "Not Found"}, "invalid_request_error"),
        (418, [], "invalid_request_error"),
    ],
)
def test_any_other_body_gets_the_envelope_too(status: int, body: Any, kind: str) -> None:
    error = translate(status, body)["error"]
    assert error["type"] == kind
    assert error["message"]


def test_what_is_already_in_the_envelope_stays() -> None:
    once = translate(404, vllm_error("The model `x` does not exist.", 404))
    assert translate(404, once) == once
