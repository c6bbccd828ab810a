from collections.abc import Callable

import pytest

from metacompress_server.errors import RequestError
from metacompress_server.pictures.details import in_openais_words, understood
from metacompress_server.settings import EXPORTED, ServerSettings


@pytest.fixture
def serve_uncompressed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    def setting(value: bool) -> None:
        settings = ServerSettings.read({"serve_uncompressed": value})
        monkeypatch.setenv(EXPORTED, settings.model_dump_json())

    return setting


@pytest.mark.parametrize("detail", [None, "low", "auto", "high"])
def test_budgets_are_always_there(
    serve_uncompressed: Callable[[bool], None], detail: str | None
) -> None:
    serve_uncompressed(False)
    assert understood(detail, "messages[0]") == detail


@pytest.mark.parametrize("detail", ["full", "original"])
def test_all_tokens_are_served_where_the_operator_says_so(
    serve_uncompressed: Callable[[bool], None], detail: str
) -> None:
    serve_uncompressed(True)
    assert understood(detail, "messages[0]") == "full"
    serve_uncompressed(False)
    with pytest.raises(RequestError, match="--serve-uncompressed") as refused:
        understood(detail, "messages[0]")
    assert refused.value.param == "messages[0]"


@pytest.mark.parametrize("detail", ["ultra", 3, ["low"], {}])
def test_other_words_are_refused(
    serve_uncompressed: Callable[[bool], None], detail: object
) -> None:
    serve_uncompressed(True)
    with pytest.raises(RequestError, match="detail is low, high or auto"):
        understood(detail, "messages[0]")


def test_only_our_word_for_a_picture_is_replaced_in_an_input() -> None:
    full = {"type": "input_image", "image_url": "data:x", "detail": "full"}
    low = {**full, "detail": "low"}
    text = {"type": "input_text", "text": "full", "detail": "full"}
    output = {"type": "function_call_output", "output": [full]}
    translated = in_openais_words([{"role": "user", "content": [full, low, text]}, output])
    original = {**full, "detail": "original"}
    assert translated == [
        {"role": "user", "content": [original, low, text]},
        {"type": "function_call_output", "output": [original]},
    ]
    assert in_openais_words("full") == "full"
