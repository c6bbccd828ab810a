from typing import Any

import pytest

from metacompress_server.errors import RequestError
from metacompress_server.messages import (
    count_images,
    neutralise_placeholders,
    refuse_client_identities,
    refuse_foreign_urls,
)


def picture(url: str = "data:image/png;base64,AAAA", **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}, **more}


def message(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def test_typed_placeholders_stay_text_everywhere() -> None:
    messages = [
        {"role": "system", "content": "no <image>"},
        message({"type": "text", "text": "<image><image> a"}, picture()),
        {"role": "tool", "content": "x", "tool_calls": [{"function": {"arguments": "<image>"}}]},
    ]
    cleaned = neutralise_placeholders(messages, "<image>")
    assert "<image>" not in repr(cleaned)
    assert cleaned[1]["content"][0]["text"] == "< image>< image> a"
    assert cleaned[1]["content"][1] == picture()
    assert "<image>" in repr(messages)


def test_a_client_identity_is_refused_by_place() -> None:
    refuse_client_identities([message(picture()), {"role": "user", "content": "text"}])
    with pytest.raises(RequestError) as refused:
        refuse_client_identities([message(picture(), picture(uuid="mine"))])
    assert refused.value.param == "messages[0].content[1].uuid"
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/x.png", "https://example.com/x.png", "file:///etc/passwd", "x.png"]
)
def test_only_data_urls_pass_unless_the_server_may_fetch(url: str) -> None:
    refuse_foreign_urls([message(picture())], ("data:",))
    with pytest.raises(RequestError) as refused:
        refuse_foreign_urls([message(picture(url))], ("data:",))
    assert refused.value.param == "messages[0].content[0].image_url.url"
    assert url not in refused.value.message


def test_https_passes_where_the_server_may_fetch() -> None:
    refuse_foreign_urls([message(picture("HTTPS://example.com/x.png"))], ("data:", "https:"))


def test_the_short_spelling_of_a_picture_url_is_checked_too() -> None:
    part = {"type": "input_image", "image_url": "http://127.0.0.1/"}
    with pytest.raises(RequestError):
        refuse_foreign_urls([message(part)], ("data:",))


def test_pictures_are_counted_over_all_messages() -> None:
    assert count_images([message(picture(), picture()), message(picture())]) == 3
    assert count_images([{"role": "user", "content": "text"}, {"role": "assistant"}]) == 0
