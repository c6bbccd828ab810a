"""The connector's options, as they stand in `--kv-transfer-config`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMESPACE = "session_namespace"
"""Entry that the connector adds itself: what the bytes of a block depend on."""

_OF_VLLM = {"spec_name", "spec_module_path", "cpu_bytes_to_use", "offload_prompt_only"}


@dataclass(frozen=True)
class SessionKVOptions:
    """Limits of the two tiers.

    session_share: largest share of a tier that one session may take.
    session_ttl_s: idle seconds after which a session ends.
    session_disk_bytes: 0 for no disk tier.
    session_state_dir: where the disk tier lives; None without one.
    """

    session_share: float
    session_ttl_s: float
    session_disk_bytes: int = 0
    session_state_dir: Path | None = None

    @classmethod
    def read(cls, extra_config: Mapping[str, Any]) -> "SessionKVOptions":
        """From `kv_connector_extra_config`.

        Raises:
            ValueError: an entry that nobody would obey, or one that is missing.
        """
        own = {
            name: value
            for name, value in extra_config.items()
            if name not in _OF_VLLM and name != NAMESPACE
        }
        unknown = own.keys() - cls.__dataclass_fields__.keys()
        if unknown:
            raise ValueError(f"kv_connector_extra_config: no such entry: {', '.join(unknown)}")
        missing = {"session_share", "session_ttl_s"} - own.keys()
        if missing:
            raise ValueError(f"kv_connector_extra_config: {', '.join(missing)} is missing")
        state_dir = own.pop("session_state_dir", None)
        options = cls(**own, session_state_dir=Path(state_dir) if state_dir else None)
        if options.session_disk_bytes and options.session_state_dir is None:
            raise ValueError("session_disk_bytes needs session_state_dir")
        return options
