"""`/v1/files` in OpenAI's shape: a picture is uploaded once and named by its id from then on."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.datastructures import FormData, UploadFile

from metacompress_server.errors import RequestError
from metacompress_server.intake.formats import picture_format
from metacompress_server.tenants import current_tenant

from .store import FileStore, Order, StoredFile

PURPOSES = ("vision", "user_data")

router = APIRouter(prefix="/v1/files")

_MAX_FIELDS = 8
_MAX_FILENAME = 255


@dataclass(frozen=True)
class FileDesk:
    """One per HTTP process.

    check: raises RequestError where bytes are no picture that this server takes, or too many.
    max_life_s: how long a file is kept, unless the client asks for less.
    max_bytes: of one file.
    """

    store: FileStore
    check: Callable[[bytes], Awaitable[object]]
    max_life_s: float
    max_bytes: int


@router.post("")
async def create(request: Request) -> dict[str, Any]:
    """Keep a picture. Multipart: `file`, `purpose`, and how long by `expires_after[seconds]`."""
    desk, tenant = _desk(request), current_tenant()
    async with request.form(max_files=1, max_fields=_MAX_FIELDS) as form:
        purpose, life_s = _purpose(form), _life_s(form, desk.max_life_s)
        filename, content = await _upload(form, desk.max_bytes)
    await desk.check(content)
    file = await desk.store.add(
        tenant.name,
        content,
        filename=filename,
        purpose=purpose,
        media_type=f"image/{picture_format(content).lower()}",
        life_s=life_s,
        max_files=tenant.max_files,
    )
    return _described(file)


@router.get("")
async def page(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    after: str | None = None,
    order: Order = "desc",
    purpose: Literal["vision", "user_data"] | None = None,
) -> dict[str, Any]:
    """The tenant's files by age."""
    files, more = await _desk(request).store.page(
        current_tenant().name, limit, after=after, order=order, purpose=purpose
    )
    return {
        "object": "list",
        "data": [_described(file) for file in files],
        "first_id": files[0].id if files else None,
        "last_id": files[-1].id if files else None,
        "has_more": more,
    }


@router.get("/{file_id}")
async def retrieve(request: Request, file_id: str) -> dict[str, Any]:
    """One file's record."""
    return _described(await _desk(request).store.get(current_tenant().name, file_id))


@router.delete("/{file_id}")
async def delete(request: Request, file_id: str) -> dict[str, Any]:
    """Forget a file."""
    await _desk(request).store.delete(current_tenant().name, file_id)
    return {"id": file_id, "object": "file", "deleted": True}


@router.get("/{file_id}/content")
async def content(request: Request, file_id: str) -> Response:
    """The bytes as they were uploaded."""
    store, tenant = _desk(request).store, current_tenant()
    file = await store.get(tenant.name, file_id)
    return Response(
        await store.read(tenant.name, file_id),
        media_type=file.media_type,
        headers={"X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment"},
    )


def _desk(request: Request) -> FileDesk:
    desk: FileDesk = request.app.state.files
    return desk


def _purpose(form: FormData) -> str:
    purpose = form.get("purpose")
    if purpose not in PURPOSES:
        raise RequestError(
            f"purpose is {' or '.join(PURPOSES)}", param="purpose", code="invalid_value"
        )
    return str(purpose)


def _life_s(form: FormData, max_life_s: float) -> float:
    """OpenAI's `expires_after`: an anchor, which is always the creation, and seconds."""
    anchor = form.get("expires_after[anchor]", "created_at")
    seconds = form.get("expires_after[seconds]", str(int(max_life_s) or 1))
    try:
        life_s = int(str(seconds))
    except ValueError:
        life_s = 0
    if anchor != "created_at" or not 1 <= life_s <= max(1, max_life_s):
        raise RequestError(
            f"expires_after is 1 to {int(max_life_s)} seconds after created_at",
            param="expires_after",
            code="invalid_value",
        )
    return life_s


async def _upload(form: FormData, max_bytes: int) -> tuple[str, bytes]:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise RequestError("no file in the form", param="file", code="missing_required_parameter")
    content = await file.read(max_bytes + 1)
    name = "".join(letter for letter in file.filename or "" if letter.isprintable())
    return name[:_MAX_FILENAME], content


def _described(file: StoredFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": int(file.created),
        "expires_at": int(file.expires),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }
