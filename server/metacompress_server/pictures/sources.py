"""Where the pictures of a request come from: handles in the place of URLs, known to it alone.

vLLM hands nothing but a part's URL to the media connector. So each picture part's URL is replaced
by a handle, and the connector finds here what the part really said. A handle is worth nothing
outside of its request: typed by a client, it resolves to nothing.
"""

import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

HANDLE_SCHEME = "metacompress:"


class UnknownHandle(ValueError):
    """A URL in our scheme that this request was not given."""


@dataclass(frozen=True)
class PictureSource:
    """One picture part.

    source: the URL as the client wrote it, or the bytes of a picture uploaded before.
    detail: `low`, `high`, `auto`, or None where the client said nothing.
    param: where in the request the part stands, for messages about it.
    """

    source: str | bytes
    detail: str | None = None
    param: str | None = None


@dataclass
class _Table:
    """One request's pictures by handle; `detail` counts for all of them where it is not None."""

    sources: dict[str, PictureSource] = field(default_factory=dict)
    detail: str | None = None

    def seen(self, source: PictureSource) -> PictureSource:
        return source if self.detail is None else replace(source, detail=self.detail)


_TABLE: ContextVar[_Table | None] = ContextVar("metacompress_picture_sources", default=None)


def begin_pictures() -> None:
    """From here on, this request has a table of its own, with nothing in it."""
    _TABLE.set(_Table())


def override_detail(detail: str | None) -> None:
    """All pictures of this request have this `detail`, whatever was asked; None: as was asked."""
    _table().detail = detail


def hand_out(source: PictureSource) -> str:
    """A handle for `source`, in the form of a URL. Needs `begin_pictures`."""
    handle = HANDLE_SCHEME + uuid.uuid4().hex
    _table().sources[handle] = source
    return handle


def handed_out() -> list[PictureSource]:
    """This request's pictures so far, in their order."""
    table = _TABLE.get() or _Table()
    return [table.seen(source) for source in table.sources.values()]


def resolve(url: str) -> PictureSource:
    """What a URL stands for: a handle's source, any other URL itself.

    Raises:
        UnknownHandle: the URL is in our scheme, but this request has no such handle.
    """
    if not url.lower().startswith(HANDLE_SCHEME):
        return PictureSource(url)
    table = _TABLE.get() or _Table()
    source = table.sources.get(url)
    if source is None:
        raise UnknownHandle("pictures have no URL of this kind")
    return table.seen(source)


def _table() -> _Table:
    table = _TABLE.get()
    if table is None:
        raise RuntimeError("begin_pictures() was not called in this request")
    return table
