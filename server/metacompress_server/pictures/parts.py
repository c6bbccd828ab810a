"""The pictures of a request, wherever it names them: each part's URL becomes a handle.

Chat: `{"type": "image_url", "image_url": {"url", "detail"}}`, with an uploaded file's id for the
URL if the client likes, and `{"type": "file", "file": {"file_id"}}`. Responses:
`{"type": "input_image", "image_url" or "file_id", "detail"}`.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import ValidationError

from metacompress_server.errors import RequestError

from .details import understood
from .sources import PictureSource, hand_out

ReadFile = Callable[[str], Awaitable[bytes]]

_FILE_ID = "file-"


async def with_handles(messages: list[Any], read_file: ReadFile, name: str) -> list[Any]:
    """The same messages, each picture's URL replaced by a handle of this request.

    Args:
        messages: of chat completions, or the input of a response.
        read_file: gives an uploaded file's bytes; raises RequestError where there is none.
        name: of the list in the request, for messages about it.

    Raises:
        RequestError: an unknown `detail`, or a file that is not there.
    """
    return [
        await _message(message, read_file, f"{name}[{i}]") for i, message in enumerate(messages)
    ]


async def _message(message: Any, read_file: ReadFile, where: str) -> Any:
    """A tool's output may be a list of parts too."""
    if not isinstance(message, dict):
        return message
    rewritten = dict(message)
    for field in ("content", "output"):
        content = message.get(field)
        if content is not None and not isinstance(content, str):
            place = f"{where}.{field}"
            rewritten[field] = [
                await _part(part, read_file, f"{place}[{j}]")
                for j, part in enumerate(_parts(content, place))
            ]
    return rewritten


def _parts(content: Any, where: str) -> list[Any]:
    """What vLLM could not tell when it parsed the request, it tells only when it is read."""
    try:
        return list(content)
    except (TypeError, ValidationError) as error:
        raise RequestError(
            "content is text or a list of parts: text, image_url or file",
            param=where,
            code="invalid_value",
        ) from error


async def _part(part: Any, read_file: ReadFile, where: str) -> Any:
    if not isinstance(part, dict):
        return part
    if part.get("type") == "file":
        return await _file_part(part, read_file, where)
    if part.get("type") == "input_image":
        return await _input_image(part, read_file, where)
    if part.get("type") not in (None, "image_url"):
        return part
    image = part.get("image_url")
    if isinstance(image, str):
        handle = await _handle(image, part.get("detail"), read_file, f"{where}.image_url")
        return {**part, "image_url": handle}
    if isinstance(image, dict) and isinstance(image.get("url"), str):
        handle = await _handle(
            image["url"], image.get("detail"), read_file, f"{where}.image_url.url"
        )
        return {**part, "image_url": {"url": handle}}
    return part


async def _file_part(part: dict[str, Any], read_file: ReadFile, where: str) -> dict[str, Any]:
    file = part.get("file")
    file_id = file.get("file_id") if isinstance(file, dict) else None
    if not isinstance(file_id, str) or not file_id.startswith(_FILE_ID):
        raise RequestError(
            "a file part names an uploaded picture by its file_id; send others as image_url",
            param=f"{where}.file",
            code="invalid_value",
        )
    handle = await _handle(file_id, None, read_file, f"{where}.file.file_id")
    return {"type": "image_url", "image_url": {"url": handle}}


async def _input_image(part: dict[str, Any], read_file: ReadFile, where: str) -> dict[str, Any]:
    named = [key for key in ("file_id", "image_url") if part.get(key) is not None]
    if len(named) != 1 or not isinstance(part[named[0]], str):
        raise RequestError(
            "an input_image has either an image_url or a file_id", param=where, code="invalid_value"
        )
    handle = await _handle(part[named[0]], part.get("detail"), read_file, f"{where}.{named[0]}")
    return {"type": "input_image", "image_url": handle, "detail": "auto"}


async def _handle(url: str, detail: Any, read_file: ReadFile, where: str) -> str:
    return hand_out(await picture_source(url, detail, read_file, where))


async def picture_source(url: str, detail: Any, read_file: ReadFile, where: str) -> PictureSource:
    """What one picture part names.

    Args:
        url: as the client wrote it, or an uploaded file's id.
        detail: as the client wrote it.
        read_file: as in `with_handles`.
        where: in the request, for messages about it.

    Raises:
        RequestError: as `with_handles`.
    """
    wanted = understood(detail, where)
    source: str | bytes = url
    if url.startswith(_FILE_ID):
        try:
            source = await read_file(url)
        except RequestError as error:
            raise RequestError(
                "this file is not there, or no longer: send the picture itself, or upload it again",
                param=where,
                code=error.code,
                status=error.status,
            ) from error
    return PictureSource(source, wanted, where)
