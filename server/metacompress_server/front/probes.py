"""Readiness, apart from vLLM's `/health`: whether this process wants new requests."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from .desk import FrontDesk

router = APIRouter()


@router.get("/ready")
async def ready(request: Request) -> JSONResponse:
    """200 where requests are welcome, 503 while the server drains or its engine is dead."""
    state = request.app.state
    front: FrontDesk = state.front
    if front.gate.draining:
        return JSONResponse({"status": "draining"}, status_code=503)
    if front.gate.limit is None or state.engine_client.errored:
        return JSONResponse({"status": "engine not running"}, status_code=503)
    return JSONResponse({"status": "ready"})
