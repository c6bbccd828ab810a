"""The front door: outermost ASGI middleware, through which every request of a client comes.

In this order: request id, OpenAI's error envelope, key and tenant, closed routes, the gate, the
body within bounds, the fields that a client may not set. What comes through is handed to vLLM's app
with the tenant known and the tenant's cache salt in it.
"""

import json
import math
from http import HTTPStatus
from typing import Any

from starlette.routing import Match

from metacompress_server.errors import RequestError
from metacompress_server.pictures.details import in_openais_words
from metacompress_server.request_context import current_request
from metacompress_server.tenants import DEFAULT_TENANT, Tenant, enter_tenant

from .access_log import AccessLog
from .bodies import ClientGone, check_length, read_body, replay, with_length
from .client_fields import check_fields
from .desk import FrontDesk
from .error_middleware import App, Message, OpenAIErrors, Receive, Send
from .gate import Refused, Visit
from .json_body import read_json, with_field
from .messages import neutralise_placeholders
from .metrics import front_metrics
from .request_ids import RequestIds
from .routes import Kind, kind_of

FRONT_DOOR = "metacompress_server.front.door.FrontDoor"
"""For vLLM's `--middleware`, which puts it outside of everything else."""

_SMALL_BODY = 1 << 20
_TEXTS = ("messages", "input", "instructions", "prompt", "suffix", "tools")


class FrontDoor:
    """ASGI middleware; finds its `FrontDesk` in the app's state."""

    def __init__(self, app: App) -> None:
        self._app = RequestIds(AccessLog(OpenAIErrors(_Guard(app))))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        await self._app(scope, receive, send)


class _Guard:
    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "OPTIONS":
            await self._app(scope, receive, send)
            return
        passage = _Passage(scope)
        try:
            inside = await _admitted(passage, receive, send)
            if inside is not None:
                await self._into_the_app(*inside, send)
        finally:
            passage.leave()

    async def _into_the_app(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            _note(route=getattr(scope.get("route"), "path", None))


def _note(**known: str | None) -> None:
    """For the log lines of this request."""
    request = current_request()
    assert request is not None, "RequestIds stands before the guard"
    for name, value in known.items():
        setattr(request, name, value)


async def _admitted(
    passage: "_Passage", receive: Receive, send: Send
) -> tuple[Message, Receive] | None:
    """What to call the app with; None where the request is refused, and answered, or given up."""
    try:
        return await passage.admit(receive)
    except RequestError as refused:
        front_metrics().refuse(getattr(refused, "reason", "bad_request"))
        await _answer(refused, send)
    except ClientGone:
        return None
    return None


class _Passage:
    """One request on its way in."""

    def __init__(self, scope: Message) -> None:
        self._scope = scope
        self._desk: FrontDesk = scope["app"].state.front
        self._headers = dict(scope["headers"])
        self._visit: Visit | None = None

    async def admit(self, receive: Receive) -> tuple[Message, Receive]:
        """Check everything that can be checked before the app is called.

        Returns:
            What to call the app with.

        Raises:
            RequestError: refused.
            ClientGone: nobody is left to answer.
        """
        kind = kind_of(self._path())
        tenant = self._tenant(kind)
        enter_tenant(tenant)
        _note(tenant=tenant.name)
        self._scope = {**self._scope, "state": {**self._scope.get("state", {}), "tenant": tenant}}
        if kind is None:
            self._refuse_closed()
        if self._scope["method"] != "POST" or kind not in (Kind.GENERATE, Kind.UPLOAD):
            check_length(self._headers, _SMALL_BODY, required=True)
            return self._scope, receive
        max_bytes = int(self._desk.settings.max_body_mib * (1 << 20))
        check_length(self._headers, max_bytes, required=kind is Kind.UPLOAD)
        self._visit = self._desk.gate.enter(tenant)
        if kind is Kind.UPLOAD:
            return self._scope, receive
        body = await self._checked_body(receive, self._visit, max_bytes)
        return with_length(self._scope, body), replay(body, receive)

    def leave(self) -> None:
        """Give up the place of this request, where it got one."""
        if self._visit is not None:
            self._visit.leave()
            self._visit = None

    def _path(self) -> str:
        path: str = self._scope["path"]
        return path.removeprefix(self._scope.get("root_path", ""))

    def _tenant(self, kind: Kind | None) -> Tenant:
        """Default deny: once there are keys, only probes and the page's files go without one."""
        keys, settings = self._desk.keys, self._desk.settings
        free = kind in (Kind.PROBE, Kind.PAGE)
        free |= kind is Kind.METRICS and not settings.require_key_for_metrics
        if free or not keys.guards:
            return Tenant.of(DEFAULT_TENANT, settings)
        header = self._headers.get(b"authorization")
        tenant = keys.tenant_of(None if header is None else header.decode("latin-1"))
        if tenant is None:
            raise _unauthorised()
        return tenant

    def _refuse_closed(self) -> None:
        """A route that the app has is closed; anything else gets the app's own 404."""
        for route in self._scope["app"].routes:
            if route.matches(self._scope)[0] is not Match.NONE:
                raise _closed()

    async def _checked_body(self, receive: Receive, visit: Visit, max_bytes: int) -> bytes:
        media_type = self._headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if media_type != b"application/json":
            raise RequestError(
                "Content-Type must be application/json", code="unsupported_media_type", status=415
            )
        body = await read_body(receive, visit, max_bytes)
        fields = read_json(body)
        demand = check_fields(fields, self._desk.settings, visit.tenant)
        visit.widen(demand.sequences)
        per_minute = visit.tenant.max_images_per_minute
        self._desk.gate.take(visit.tenant, "images", per_minute, demand.images)
        body = _understandable(body, fields, self._desk.placeholder)
        return with_field(body, "cache_salt", visit.tenant.cache_salt)


def _understandable(body: bytes, fields: dict[str, Any], placeholder: str | None) -> bytes:
    """The same body without picture placeholders that somebody typed, and in words vLLM reads."""
    plain = {name: fields[name] for name in _TEXTS if name in fields}
    if placeholder is not None:
        plain = neutralise_placeholders(plain, placeholder)
    if "input" in plain:
        plain["input"] = in_openais_words(plain["input"])
    changed = any(plain[name] != fields[name] for name in plain)
    return json.dumps({**fields, **plain}).encode() if changed else body


class _Denied(RequestError):
    """A refusal with a reason for the metrics."""

    def __init__(self, reason: str, message: str, code: str, status: int) -> None:
        super().__init__(message, code=code, status=status)
        self.reason = reason


def _unauthorised() -> _Denied:
    return _Denied("authentication", "Missing or wrong API key", "invalid_api_key", 401)


def _closed() -> _Denied:
    message = "this route is closed: its input is not checked on this server"
    return _Denied("closed_route", message, "route_closed", 403)


async def _answer(refused: RequestError, send: Send) -> None:
    body = json.dumps(refused.envelope()).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if isinstance(refused, Refused):
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(refused.retry_after_s))))
    if refused.status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    if refused.status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
