"""Whose request this is: the tenant, known everywhere in a request's coroutines."""

import functools
import hashlib
from contextvars import ContextVar
from dataclasses import dataclass

from .settings import ServerSettings

DEFAULT_TENANT = "default"
"""The only tenant of a server without keys."""


@dataclass(frozen=True)
class Tenant:
    """One customer. Limits are None where there is none.

    max_requests: at the same time.
    """

    name: str
    max_requests: int | None = None
    max_requests_per_minute: int | None = None
    max_images_per_minute: int | None = None
    max_images_per_request: int | None = None
    max_sessions: int | None = None
    max_files: int | None = None

    @functools.cached_property
    def cache_salt(self) -> str:
        """Separates this tenant's entries in every cache: 256 bits, the same after a restart."""
        return hashlib.sha256(b"metacompress tenant\0" + self.name.encode()).hexdigest()

    @classmethod
    def of(cls, name: str, settings: ServerSettings, **limits: int | None) -> "Tenant":
        """A tenant with the server's limits, but for those given."""
        defaults: dict[str, int | None] = {
            "max_requests": settings.max_requests_per_tenant,
            "max_requests_per_minute": settings.max_requests_per_minute,
            "max_images_per_minute": settings.max_images_per_minute,
            "max_images_per_request": settings.max_images_per_request,
            "max_sessions": settings.max_sessions_per_tenant,
            "max_files": settings.max_files_per_tenant,
        }
        return cls(name, **{**defaults, **limits})


_TENANT: ContextVar[Tenant] = ContextVar("metacompress_tenant")


def current_tenant() -> Tenant:
    """The tenant of the request that runs; outside of one, and without keys, the default tenant."""
    tenant = _TENANT.get(None)
    return Tenant.of(DEFAULT_TENANT, ServerSettings.current()) if tenant is None else tenant


def enter_tenant(tenant: Tenant) -> None:
    """From here on, this request belongs to `tenant`."""
    _TENANT.set(tenant)
