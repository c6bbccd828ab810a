"""Which `--kv-transfer-config` the launcher gives vLLM: the session KV tiers, or none."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metacompress_server.settings import ServerSettings

from .flags import Flags

GIB = 1 << 30
_CONNECTOR = ("metacompress_server.engine.kv.connector", "SessionKVConnector")
_SPEC = ("metacompress_server.engine.kv.spec", "SessionKVSpec")
_SHARED_MEMORY = Path("/dev/shm")
_MEMORY = Path("/proc/meminfo")
_OTHERS = ("kv-transfer-config", "kv-offloading-size")
_LARGEST_DEFAULT = 16 * GIB
_SMALLEST_DEFAULT = 32 << 20
_CRYPTOGRAPHIC = ("sha256", "sha256_cbor")


class SessionTierError(ValueError):
    """The tiers cannot be had as asked. The message is one line."""


@dataclass(frozen=True)
class SessionTier:
    """What was decided.

    config: for `--kv-transfer-config`; None where the tiers are off.
    line: what to tell the operator.
    """

    config: dict[str, Any] | None
    line: str


def session_tier(settings: ServerSettings, flags: Flags) -> SessionTier:
    """Decide by the settings and by vLLM's flags.

    Raises:
        SessionTierError: the operator asked for tiers that this server cannot have.
    """
    wanted = bool(settings.session_kv_gib) or bool(settings.session_disk_gib)
    obstacle = _obstacle(flags)
    if obstacle is not None:
        if wanted:
            raise SessionTierError(f"sessions' keys and values cannot be kept: {obstacle}")
        return SessionTier(None, f"off: {obstacle}")
    if settings.session_kv_gib == 0:
        if settings.session_disk_gib:
            raise SessionTierError("--session-disk-gib needs --session-kv-gib above 0")
        return SessionTier(None, "off")
    replicas = int(flags.setting("data-parallel-size") or 1)
    size = (
        _default_bytes(flags)
        if settings.session_kv_gib is None
        else int(settings.session_kv_gib * GIB)
    ) // replicas
    if settings.session_kv_gib is None and size < _SMALLEST_DEFAULT and not wanted:
        return SessionTier(
            None, "off: too little memory is free, or too little of /dev/shm (--session-kv-gib)"
        )
    disk = int(settings.session_disk_gib * GIB) // replicas
    return SessionTier(_config(settings, size, disk), _describe(settings, size, disk))


def _obstacle(flags: Flags) -> str | None:
    """Why vLLM as configured cannot take our connector."""
    for flag in _OTHERS:
        if flag in flags:
            return f"--{flag} names another connector"
    if "no-enable-prefix-caching" in flags or flags.setting("enable-prefix-caching") is False:
        return "--no-enable-prefix-caching"
    if str(flags.setting("nnodes") or 1) != "1":
        return "--nnodes: workers of several nodes share no memory"
    algorithm = flags.setting("prefix-caching-hash-algo")
    if algorithm is not None and algorithm not in _CRYPTOGRAPHIC:
        return f"--prefix-caching-hash-algo {algorithm} is not collision-resistant"
    return None


def _default_bytes(flags: Flags) -> int:
    """As much as the GPU's own cache where that is known, within what is free."""
    known = flags.setting("kv-cache-memory-bytes")
    try:
        goal = int(known) if known is not None else _LARGEST_DEFAULT
    except ValueError:
        goal = _LARGEST_DEFAULT  # "4G" and the like: vLLM reads it, only the default needs a number
    return min(goal, _LARGEST_DEFAULT, _free_memory() // 8, _free_shared_memory() // 2)


def _free_memory() -> int:
    """What programs may still take, page cache included; 0 where the system does not say."""
    if not _MEMORY.is_file():
        return 0
    for line in _MEMORY.read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return 0


def _free_shared_memory() -> int:
    if not _SHARED_MEMORY.is_dir():
        return 0
    status = os.statvfs(_SHARED_MEMORY)
    return status.f_bavail * status.f_frsize


def _config(settings: ServerSettings, size: int, disk: int) -> dict[str, Any]:
    extra: dict[str, Any] = {
        "spec_module_path": _SPEC[0],
        "spec_name": _SPEC[1],
        "cpu_bytes_to_use": size,
        "offload_prompt_only": False,
        "session_share": settings.session_kv_share,
        "session_ttl_s": settings.session_ttl_s,
    }
    if disk:
        extra |= {"session_disk_bytes": disk, "session_state_dir": str(settings.state_dir)}
    return {
        "kv_connector": _CONNECTOR[1],
        "kv_connector_module_path": _CONNECTOR[0],
        "kv_role": "kv_both",
        "kv_connector_extra_config": extra,
    }


def _describe(settings: ServerSettings, size: int, disk: int) -> str:
    below = f", {disk / GIB:.2f} GiB on disk" if disk else ", nothing on disk"
    return f"{size / GIB:.2f} GiB in host memory{below}, for {settings.session_ttl_s:.0f} s idle"
