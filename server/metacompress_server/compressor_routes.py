"""`/v1/compressor`: which compressor is in use, and another one in its place without a restart.

Off unless the operator names a folder of artifacts (`--compressor-dir`), and open to one tenant
alone (`--admin-tenant`); to everybody else the routes are not there.
"""

import re
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict

from .errors import RequestError
from .settings import ServerSettings
from .tenants import current_tenant

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


class CompressorDesk(Protocol):
    """What the routes ask of the server."""

    async def describe(self) -> dict[str, Any]:
        """The compressor that new pictures go through."""
        ...

    async def reload(self, name: str) -> dict[str, Any]:
        """Put an artifact of the operator's folder in its place. Raises RequestError."""
        ...


class Wanted(BaseModel):
    """The body of a reload: the name of a folder below `--compressor-dir`."""

    model_config = ConfigDict(extra="forbid")

    compressor: str


def _admin_only(request: Request) -> CompressorDesk:
    settings = ServerSettings.current()
    if settings.compressor_dir is None or current_tenant().name != settings.admin_tenant:
        raise RequestError("Not Found", status=404)
    desk: CompressorDesk = request.app.state.compressor
    return desk


router = APIRouter(prefix="/v1/compressor")
Desk = Annotated[CompressorDesk, Depends(_admin_only)]


@router.get("")
async def describe(desk: Desk) -> dict[str, Any]:
    """The compressor in use."""
    return await desk.describe()


@router.post("/reload")
async def reload(desk: Desk, wanted: Wanted) -> dict[str, Any]:
    """Load another artifact; requests on their way are finished with the one they began with."""
    if not _NAME.fullmatch(wanted.compressor):
        raise RequestError(
            "`compressor` is the name of a folder below the server's --compressor-dir",
            param="compressor",
            code="invalid_value",
        )
    return await desk.reload(wanted.compressor)
