import asyncio
from typing import Any

import pytest

from metacompress_server.errors import RequestError
from metacompress_server.pictures.parts import with_handles
from metacompress_server.pictures.sources import PictureSource, begin_pictures, handed_out, resolve

FILES = {"file-1": b"picture"}


async def read_file(file_id: str) -> bytes:
    if file_id not in FILES:
        raise RequestError("no such file", param="file_id", code="file_not_found", status=404)
    return FILES[file_id]


def rewritten(*parts: Any) -> list[tuple[Any, PictureSource | None]]:
    """Each part after rewriting, and what its handle stands for."""

    async def request() -> list[tuple[Any, PictureSource | None]]:
        begin_pictures()
        before: list[Any] = [{"role": "user", "content": list(parts)}]
        (message,) = await with_handles(before, read_file, "messages")
        assert before == [{"role": "user", "content": list(parts)}]
        return [(part, _source(part)) for part in message["content"]]

    return asyncio.run(request())


def _source(part: Any) -> PictureSource | None:
    url = part.get("image_url") if isinstance(part, dict) else None
    url = url.get("url") if isinstance(url, dict) else url
    return resolve(url) if isinstance(url, str) else None


def refusal(part: Any) -> RequestError:
    with pytest.raises(RequestError) as refused:
        rewritten(part)
    return refused.value


WHERE = "messages[0].content[0]"


@pytest.mark.parametrize(
    ("part", "source"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}},
            PictureSource("data:x", "low", f"{WHERE}.image_url.url"),
        ),
        (
            {"type": "image_url", "image_url": {"url": "file-1"}},
            PictureSource(b"picture", None, f"{WHERE}.image_url.url"),
        ),
        (
            {"image_url": "https://host/cat.png"},
            PictureSource("https://host/cat.png", None, f"{WHERE}.image_url"),
        ),
        (
            {"type": "file", "file": {"file_id": "file-1"}},
            PictureSource(b"picture", None, f"{WHERE}.file.file_id"),
        ),
        (
            {"type": "input_image", "file_id": "file-1", "detail": "high"},
            PictureSource(b"picture", "high", f"{WHERE}.file_id"),
        ),
        (
            {"type": "input_image", "image_url": "data:x", "detail": "auto"},
            PictureSource("data:x", "auto", f"{WHERE}.image_url"),
        ),
    ],
)
def test_every_shape_of_a_picture_gets_a_handle(part: Any, source: PictureSource) -> None:
    assert rewritten(part)[0][1] == source


def test_a_file_part_reaches_vllm_as_a_picture() -> None:
    ((part, _),) = rewritten({"type": "file", "file": {"file_id": "file-1"}})
    assert part["type"] == "image_url"


def test_a_typed_handle_is_only_a_url_that_nobody_knows() -> None:
    ((_, source),) = rewritten({"type": "image_url", "image_url": {"url": "metacompress:1"}})
    assert source == PictureSource("metacompress:1", None, f"{WHERE}.image_url.url")


def test_everything_else_stays_as_it_is() -> None:
    parts = [
        {"type": "text", "text": "file-1", "image_url": "data:x"},
        "word",
        {"type": "image_url", "image_url": None},
    ]
    assert [part for part, _ in rewritten(*parts)] == parts
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": None}, "x"]
    assert asyncio.run(with_handles(messages, read_file, "messages")) == messages


def test_pictures_in_a_tools_output_get_handles_too() -> None:
    async def request() -> list[PictureSource]:
        begin_pictures()
        output = [{"type": "input_image", "image_url": "data:x", "detail": "low"}]
        item = {"type": "function_call_output", "call_id": "1", "output": output}
        (rewritten_item,) = await with_handles([item], read_file, "input")
        assert rewritten_item["output"][0]["image_url"].startswith("metacompress:")
        return handed_out()

    assert asyncio.run(request()) == [
        PictureSource("data:x", "low", "input[0].output[0].image_url")
    ]


def test_a_lost_file_is_said_with_its_place_and_what_to_do() -> None:
    error = refusal({"type": "image_url", "image_url": {"url": "file-2"}})
    assert (error.status, error.code) == (404, "file_not_found")
    assert error.param == f"{WHERE}.image_url.url"
    assert "upload it again" in error.message


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:x", "detail": "medium"}},
        {"type": "image_url", "image_url": {"url": "data:x", "detail": ["low"]}},
        {"type": "file", "file": {"file_data": "data:x"}},
        {"type": "file", "file": {"file_id": "../../etc"}},
        {"type": "file"},
        {"type": "input_image"},
        {"type": "input_image", "file_id": "file-1", "image_url": "data:x"},
        {"type": "input_image", "image_url": {"url": "data:x"}},
    ],
)
def test_what_makes_no_sense_is_refused(part: Any) -> None:
    assert refusal(part).code == "invalid_value"
