"""`/playground`: the page, and where the kept tokens of a picture look."""

from typing import Any, Literal, Protocol

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict

from metacompress_server.errors import RequestError

from .page_files import HEADERS, INDEX, page_files

router = APIRouter(prefix="/playground")


class LookDesk(Protocol):
    """What the routes ask of the server."""

    async def look(self, url: str, detail: str | None) -> dict[str, Any]:
        """P of one picture, as JSON. Raises RequestError."""
        ...


class ImageUrl(BaseModel):
    """A picture as a chat message names it: a URL or a file's id, and its budget."""

    model_config = ConfigDict(extra="forbid")

    url: str
    detail: str | None = None


class PicturePart(BaseModel):
    """The body of a look: one content part of a chat message.

    cache_salt: not the client's; the front door puts the tenant's into every body that it checks.
    """

    model_config = ConfigDict(extra="forbid")

    type: Literal["image_url"] = "image_url"
    image_url: ImageUrl
    cache_salt: str | None = None


@router.get("")
async def page() -> Response:
    """The page itself. It holds no secret and no key; what it asks for needs one."""
    return _served(INDEX)


@router.post("/look")
async def look(request: Request, part: PicturePart) -> dict[str, Any]:
    """Where each kept token of a picture looks: P, a row for each of the m, n weights in a row."""
    desk: LookDesk = request.app.state.looks
    return await desk.look(part.image_url.url, part.image_url.detail)


@router.get("/{name}")
async def file(name: str) -> Response:
    """A style sheet, a script or a sample picture."""
    return _served(name)


def _served(name: str) -> Response:
    found = page_files().get(name)
    if found is None:
        raise RequestError("Not Found", status=404)
    return Response(found.content, media_type=found.media_type, headers=HEADERS)
