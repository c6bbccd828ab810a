"""Which session a request belongs to, and the name that the engine knows it by."""

import hashlib
import re
import uuid
from collections.abc import Mapping

from metacompress_server.errors import RequestError
from metacompress_server.tenants import Tenant

SESSION_HEADER = "X-Session-ID"

_ID = re.compile(r"[!-~](?:[ -~]{0,254}[!-~])?")


def session_id_of(named: Mapping[str, str | None]) -> str | None:
    """The one id that a request names, None where it names none.

    Args:
        named: where the id stands in the request (`X-Session-ID`, `session_id`, ...) to its value.

    Raises:
        RequestError: two different ids, or one that cannot be an id.
    """
    given = {place: value for place, value in named.items() if value}
    if len(set(given.values())) > 1:
        raise RequestError(
            f"{' and '.join(given)} name different sessions; send one of them, or the same id",
            param=next(reversed(given)),
            code="conflicting_session_ids",
        )
    for place, value in given.items():
        check_session_id(value, place)
        return value
    return None


def check_session_id(value: str, param: str) -> None:
    """Refuse what a response header or a log line could not carry. Raises RequestError."""
    if not _ID.fullmatch(value):
        raise RequestError(
            "a session id is 1 to 256 printable ASCII characters with no space at either end",
            param=param,
            code="invalid_session_id",
        )


def new_session_id() -> str:
    """For clients that leave the name to the server."""
    return f"sess-{uuid.uuid4().hex}"


def scoped_session_id(tenant: Tenant, session_id: str) -> str:
    """The session's name in the engine: 256 bits, the same after a restart, of one tenant alone."""
    return hashlib.sha256(f"{tenant.cache_salt}\n{session_id}".encode()).hexdigest()
