"""Flags of vLLM that this server does not take, with what to say instead."""

import os

from metacompress_server.front.keys import KEYS_VARIABLE
from metacompress_server.settings import ServerSettings

from .flags import FlagError, Flags
from .json_logs import refuse_another_configuration

_INSTEAD = {
    "allowed-media-domains": "name exact hosts with --allowed-image-hosts",
    "allowed-local-media-path": "files of the server are never opened for a client",
    "media-io-kwargs": "pictures are decoded by this server's own intake",
    "disable-access-log-for-endpoints": "probes have no access line, --no-access-log ends all",
    "trust-remote-code": "no code of a checkpoint is run",
    "enable-mm-embeds": "ready-made embeddings are not taken from clients",
    "enable-prompt-embeds": "ready-made embeddings are not taken from clients",
    "trust-request-chat-template": "chat templates are not taken from clients",
}


def refuse_flags(flags: Flags, settings: ServerSettings) -> None:
    """Refuse what would be ignored, or would open what is closed.

    Raises:
        FlagError: naming the flag.
    """
    for name, instead in _INSTEAD.items():
        if name in flags and f"--no-{name}" not in flags.words:
            raise FlagError(f"--{name} is not taken: {instead}")
    if settings.log_format == "json":
        refuse_another_configuration(flags)
    ours = settings.api_keys_file is not None or KEYS_VARIABLE in os.environ
    if ours and ("api-key" in flags or os.environ.get("VLLM_API_KEY")):
        raise FlagError(
            "keys come from --api-key (or VLLM_API_KEY), or from --api-keys-file and "
            f"{KEYS_VARIABLE}: not from both"
        )
