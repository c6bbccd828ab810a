"""What is known of the request that runs, for the log lines that are written meanwhile."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

_SHOWN_DIGITS = 16


@dataclass
class RequestContext:
    """Filled in as the request comes further; the same object in all its coroutines.

    request_id: as the engine has it; begins with the one in the answer's header.
    session: the first digits of its scoped id. Never the client's own id, which may be a name.
    route: the template, `/v1/sessions/{session_id}`; None for a path that no route took.
    """

    request_id: str
    tenant: str | None = None
    session: str | None = None
    route: str | None = None

    def in_session(self, scoped: str) -> None:
        """The request runs in the session of this scoped id."""
        self.session = scoped[:_SHOWN_DIGITS]

    @property
    def fields(self) -> dict[str, Any]:
        """For a log line: what is known of who asked."""
        known = {"request_id": self.request_id, "session": self.session, "tenant": self.tenant}
        return {name: value for name, value in known.items() if value is not None}


_CURRENT: ContextVar[RequestContext | None] = ContextVar("metacompress_request", default=None)


def begin_request(request_id: str) -> None:
    """From here on, this request runs."""
    _CURRENT.set(RequestContext(request_id))


def current_request() -> RequestContext | None:
    """The request that runs, None outside of one."""
    return _CURRENT.get()
