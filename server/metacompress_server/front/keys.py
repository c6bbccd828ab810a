"""Who may come in: API keys of several tenants, from a file and the environment.

The file is YAML and is read again when it changes; a change that makes no sense is reported and the
keys stay as they were:

    tenants:
      acme:
        keys: [sk-...]             # or, so that no key stands in the file,
        keys_sha256: [5e88...]     # hex digests: printf %s "$KEY" | sha256sum
        max_requests: 8            # any limit of `Tenant`; the server's where none is given

The environment variable `METACOMPRESS_API_KEYS` holds `tenant=key` pairs by comma; a key alone is
the default tenant's.
"""

import hashlib
import hmac
import logging
import os
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from metacompress_server.settings import ServerSettings
from metacompress_server.tenants import DEFAULT_TENANT, Tenant

KEYS_VARIABLE = "METACOMPRESS_API_KEYS"

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LIMITS = {limit.name for limit in fields(Tenant)} - {"name"}
_SHORTEST_KEY = 8

logger = logging.getLogger("vllm.metacompress")


class KeysError(ValueError):
    """Keys that cannot be read. The message is one line and holds no key."""


@dataclass
class KeyRing:
    """The keys of one server.

    Raises:
        KeysError: file or variable make no sense.
    """

    settings: ServerSettings
    extra: tuple[str, ...] = ()
    """Keys of the default tenant from elsewhere, such as vLLM's own flag."""

    _tenants: dict[bytes, Tenant] = field(default_factory=dict, init=False)
    _stamp: tuple[int, int] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._stamp = self._file_stamp()
        self._tenants = self._read()

    @property
    def guards(self) -> bool:
        """Whether requests need a key at all."""
        return self.settings.api_keys_file is not None or bool(self._tenants)

    def tenant_of(self, authorization: str | None) -> Tenant | None:
        """Who sent a request, by its `Authorization` header; None where no key fits.

        Every key is compared, each in constant time.
        """
        self._refresh()
        scheme, _, key = (authorization or "").partition(" ")
        given = _digest(key.strip())
        found = None
        for digest, tenant in self._tenants.items():
            if hmac.compare_digest(digest, given):
                found = tenant
        return found if scheme.lower() == "bearer" else None

    def _refresh(self) -> None:
        stamp = self._file_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._tenants = self._read()
            logger.warning("API keys were read again: %d keys", len(self._tenants))
        except KeysError as error:
            logger.error("API keys stay as they were: %s", error)

    def _file_stamp(self) -> tuple[int, int] | None:
        """What changes when the file does; None where there is none."""
        path = self.settings.api_keys_file
        if path is None:
            return None
        try:
            status = path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino

    def _read(self) -> dict[bytes, Tenant]:
        default = Tenant.of(DEFAULT_TENANT, self.settings)
        keys = {_digest(key): default for key in self.extra}
        for name, key in _from_environment():
            keys[_digest(key)] = Tenant.of(name, self.settings)
        if self.settings.api_keys_file is not None:
            keys |= self._from_file(self.settings.api_keys_file)
        return keys

    def _from_file(self, path: Path) -> dict[bytes, Tenant]:
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            raise KeysError(f"{path} cannot be read as YAML") from None
        tenants = content.get("tenants") if isinstance(content, dict) else None
        if not isinstance(tenants, dict) or set(content) != {"tenants"}:
            raise KeysError(f"{path} does not hold `tenants:` alone")
        keys: dict[bytes, Tenant] = {}
        for name, entry in tenants.items():
            found = self._tenant(path, str(name), entry)
            if keys.keys() & found.keys():
                raise KeysError(f"{path}: {name} has a key of another tenant")
            keys |= found
        return keys

    def _tenant(self, path: Path, name: str, entry: Any) -> dict[bytes, Tenant]:
        if not isinstance(entry, dict) or not _NAME.fullmatch(name):
            raise KeysError(f"{path}: {name!r} is no tenant with keys")
        limits = {key: entry[key] for key in entry if key not in ("keys", "keys_sha256")}
        for limit, value in limits.items():
            if limit not in _LIMITS or type(value) is not int or value < 0:
                raise KeysError(f"{path}: {name}: {limit} is no limit with a number")
        keys, digests = entry.get("keys") or [], entry.get("keys_sha256") or []
        _check_keys(path, name, keys, digests)
        tenant = Tenant.of(name, self.settings, **limits)
        known = [*(_digest(key) for key in keys), *(bytes.fromhex(digest) for digest in digests)]
        return dict.fromkeys(known, tenant)


def _check_keys(path: Path, name: str, keys: Any, digests: Any) -> None:
    if not isinstance(keys, list) or not isinstance(digests, list) or not (keys or digests):
        raise KeysError(f"{path}: {name} has no list of keys")
    if any(not isinstance(key, str) or len(key) < _SHORTEST_KEY for key in keys):
        raise KeysError(f"{path}: {name}: a key has {_SHORTEST_KEY} characters or more")
    if any(not isinstance(digest, str) or not _DIGEST.fullmatch(digest) for digest in digests):
        raise KeysError(f"{path}: {name}: keys_sha256 are hex digests of 64 digits")


def _from_environment() -> list[tuple[str, str]]:
    pairs = []
    for entry in filter(None, os.environ.get(KEYS_VARIABLE, "").split(",")):
        name, equals, key = entry.strip().partition("=")
        name, key = (name, key) if equals else (DEFAULT_TENANT, name)
        if not _NAME.fullmatch(name) or len(key) < _SHORTEST_KEY:
            raise KeysError(f"{KEYS_VARIABLE} is not tenant=key by comma, 8 characters or more")
        pairs.append((name, key))
    return pairs


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
