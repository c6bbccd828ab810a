from typing import Any

import pytest

from metacompress_server.errors import RequestError
from metacompress_server.front.messages import (
    count_images,
    neutralise_placeholders,
    refuse_client_identities,
    refuse_unknown_parts,
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
    "part",
    [
        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}},
        {"type": "image_embeds", "image_embeds": "AAAA"},
        {"type": "image_pil", "image_pil": "x"},
        {"image_url": "http://127.0.0.1/"},
        "just a string",
    ],
)
def test_content_is_text_or_pictures(part: Any) -> None:
    refuse_unknown_parts([message(picture(), {"type": "text", "text": "x"})])
    with pytest.raises(RequestError) as refused:
        refuse_unknown_parts([{"role": "user", "content": "x"}, message(picture(), part)])
    assert refused.value.param == "messages[1].content[1].type"


def test_pictures_are_counted_over_all_messages() -> None:
    assert count_images([message(picture(), picture()), message(picture())]) == 3
    assert count_images([{"role": "user", "content": "text"}, {"role": "assistant"}]) == 0
