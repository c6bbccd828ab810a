"""`/v1/sessions`: what the server keeps of a tenant's chats, and an end to it."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict

from metacompress_server.tenants import current_tenant

from .desk import SessionDesk
from .ids import check_session_id

router = APIRouter(prefix="/v1/sessions")


class NewSession(BaseModel):
    """The body of `POST /v1/sessions`; without an id the server makes one."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = None


@router.post("", status_code=201)
async def create(request: Request, wanted: NewSession | None = None) -> dict[str, Any]:
    """A session without turns; a chat request under its id, or any other new one, makes one too."""
    name = None if wanted is None else wanted.id
    if name is not None:
        check_session_id(name, "id")
    desk = _desk(request)
    return (await desk.describe([await desk.create(current_tenant(), name)]))[0]


@router.get("")
async def page(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: str = "",
) -> dict[str, Any]:
    """The tenant's live sessions in the order of their ids."""
    desk = _desk(request)
    sessions, more = await desk.store.page(current_tenant().name, limit, after)
    described = await desk.describe(sessions)
    return {
        "object": "list",
        "data": described,
        "first_id": described[0]["id"] if described else None,
        "last_id": described[-1]["id"] if described else None,
        "has_more": more,
    }


@router.get("/{session_id:path}")
async def retrieve(request: Request, session_id: str) -> dict[str, Any]:
    """One live session."""
    desk = _desk(request)
    return (await desk.describe([await desk.store.get(current_tenant().name, session_id)]))[0]


@router.delete("/{session_id:path}")
async def delete(request: Request, session_id: str) -> dict[str, Any]:
    """Forget a session and drop its KV."""
    freed = await _desk(request).delete(current_tenant(), session_id)
    return {"id": session_id, "object": "session.deleted", "deleted": True, "freed_bytes": freed}


def _desk(request: Request) -> SessionDesk:
    desk: SessionDesk = request.app.state.sessions
    return desk
