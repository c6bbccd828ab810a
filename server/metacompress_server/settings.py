"""Every setting of the server that is not vLLM's: one frozen object, the same in every process.

Sources, the strongest first: flags, `METACOMPRESS_<NAME>` in the environment, a YAML file (named by
`--metacompress-config` or `METACOMPRESS_CONFIG`), the defaults below. The launcher reads them once
and hands the result down in `METACOMPRESS_SETTINGS`.
"""

import functools
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

EXPORTED = "METACOMPRESS_SETTINGS"
"""Environment variable that carries the settings from the launcher to every other process."""

CONFIG = "METACOMPRESS_CONFIG"
"""Environment variable that names the YAML file."""

UNCOMPRESSED = "none"

# A name of several parts whose last one is a word: never an address in any spelling.
_HOST = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")


class SettingsError(ValueError):
    """Settings that make no sense. The message is one line that names every one of them."""


class ServerSettings(BaseSettings):
    """What an operator may decide. Sizes are GiB or MiB as named, times are seconds."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="METACOMPRESS_")

    compressor: str | None = Field(None, description="artifact's folder, or `none`")
    retention: float | None = Field(
        None, gt=0, le=1, description="share of visual tokens kept; unset: as the artifact says"
    )
    compressor_dir: Path | None = Field(
        None, description="folder of artifacts that may be loaded while the server runs"
    )
    admin_tenant: str = Field("default", description="tenant that may do so")
    serve_uncompressed: bool = Field(
        False, description="let clients ask for all of a picture's tokens (`detail: full`)"
    )
    bypass_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of dialogues that keep all visual tokens, to measure what is saved",
    )
    encoder_cache_gib: float = Field(
        0.0, ge=0, description="host memory for compressed pictures; 0: off"
    )

    session_kv_gib: float | None = Field(
        None,
        ge=0,
        description="host memory for sessions' keys and values; 0: off; unset: by free memory",
    )
    session_kv_share: float = Field(
        0.25, gt=0, le=1, description="largest share of it that one session may take"
    )
    session_ttl_s: float = Field(1800.0, gt=0, description="idle time after which a session ends")
    session_disk_gib: float = Field(0.0, ge=0, description="disk below it; needs --state-dir")
    state_dir: Path | None = Field(None, description="folder for what shall survive a restart")
    max_sessions_per_tenant: int = Field(1000, ge=1, description="live sessions of one tenant")
    max_images_per_session: int = Field(256, ge=1, description="different pictures in a session")
    max_turns_per_session: int = Field(10_000, ge=1, description="requests in a session")
    max_files_per_tenant: int = Field(1000, ge=0, description="uploaded pictures of one tenant")
    max_files_mib_per_tenant: float = Field(
        1024.0, ge=0, description="size of all uploaded pictures of one tenant"
    )
    file_ttl_s: float = Field(86_400.0, gt=0, description="life of an uploaded picture")

    api_keys_file: Path | None = Field(
        None, description="YAML of tenants, keys and limits; read again when it changes"
    )
    require_key_for_metrics: bool = Field(
        False, description="ask for a key on /metrics as well, once there are keys"
    )
    max_requests_per_tenant: int | None = Field(
        None, ge=1, description="requests of one tenant at the same time"
    )
    max_requests_per_minute: int | None = Field(None, ge=1, description="for each tenant")
    max_images_per_minute: int | None = Field(None, ge=1, description="for each tenant")

    allowed_image_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="exact host names, by comma, whose https pictures are fetched; none: no URLs",
    )
    fetch_timeout_s: float = Field(10.0, gt=0, description="time to download one picture")
    max_images_per_request: int = Field(16, ge=0, description="pictures in one request")
    max_messages: int = Field(1024, ge=1, description="messages in one request")
    max_choices: int = Field(16, ge=1, description="answers in one request (`n`)")
    max_output_tokens: int | None = Field(None, ge=1, description="longest answer")
    max_body_mib: float = Field(64.0, gt=0, description="size of a request")
    max_image_mib: float = Field(20.0, gt=0, description="size of one encoded picture")
    max_pixels: int = Field(40_000_000, ge=1, description="width x height of a picture")
    min_image_side: int = Field(4, ge=1, description="shortest side of a picture, in pixels")
    max_image_aspect: float = Field(50.0, ge=1, description="longer side over shorter side")
    max_decoded_side: int = Field(
        2048, ge=64, description="longer side to which a larger picture is scaled down"
    )
    decoded_cache_mib: float = Field(
        64.0, ge=0, description="memory for decoded pictures, in each HTTP process; 0: off"
    )
    decode_workers: int = Field(2, ge=1, description="processes that decode pictures")
    decode_timeout_s: float = Field(10.0, gt=0, description="time to decode one picture")
    decode_memory_mib: int = Field(1024, ge=256, description="memory of one decoding process")

    playground: bool = Field(
        True, description="a page at /playground to chat about a picture and see what was kept"
    )

    log_format: Literal["text", "json"] = Field(
        "text", description="of log lines; json: one object per line, vLLM's and uvicorn's too"
    )
    access_log: bool = Field(
        True, description="one line per request; takes the place of uvicorn's own"
    )

    max_queued_requests: int = Field(
        256, ge=0, description="requests that wait beyond those that run; more get status 429"
    )
    retry_after_s: int = Field(2, ge=1, description="what Retry-After then says")
    drain_timeout_s: float = Field(30.0, ge=0, description="time for running answers after SIGTERM")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags over environment over file."""
        path = os.environ.get(CONFIG)
        file = () if path is None else (YamlConfigSettingsSource(settings_cls, path),)
        return (init_settings, env_settings, *file)

    @field_validator("allowed_image_hosts", mode="before")
    @classmethod
    def _by_comma(cls, value: Any) -> Any:
        names = value.split(",") if isinstance(value, str) else value
        if not isinstance(names, list | tuple):
            return names
        return tuple(str(name).strip() for name in names if str(name).strip())

    @field_validator("allowed_image_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(name.lower() for name in value)
        wrong = [name for name in names if not _HOST.fullmatch(name)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no exact host name")
        return names

    @model_validator(mode="after")
    def _together(self) -> "ServerSettings":
        if self.session_disk_gib and self.state_dir is None:
            raise ValueError("--session-disk-gib needs --state-dir")
        if self.compressor == UNCOMPRESSED and self.retention is not None:
            raise ValueError("--retention needs a compressor")
        if self.compressor == UNCOMPRESSED and (self.serve_uncompressed or self.bypass_share):
            raise ValueError("--serve-uncompressed and --bypass-share need a compressor")
        return self

    @classmethod
    def read(cls, flags: dict[str, Any] | None = None) -> "ServerSettings":
        """From flags (by field name), environment and file.

        Raises:
            SettingsError: naming every bad value.
        """
        path = os.environ.get(CONFIG)
        if path is not None:
            _check_file(Path(path))
        try:
            return cls(**(flags or {}))
        except ValidationError as error:
            raise SettingsError("; ".join(_complaint(one) for one in error.errors())) from None

    @classmethod
    def current(cls) -> "ServerSettings":
        """What the launcher handed down; in a server that vLLM started itself, as `read`."""
        exported = os.environ.get(EXPORTED)
        return cls.read() if exported is None else _exported(exported)

    def export(self) -> None:
        """Hand the settings down to every process that this one starts."""
        os.environ[EXPORTED] = self.model_dump_json()


@functools.lru_cache(maxsize=1)
def _exported(text: str) -> ServerSettings:
    """Complete, so that neither environment nor file has a say any more."""
    return ServerSettings.model_validate_json(text)


def _complaint(error: Any) -> str:
    """One of pydantic's errors in a few words."""
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return message
    return f"--{str(error['loc'][0]).replace('_', '-')} {error['input']}: {message}"


def _check_file(path: Path) -> None:
    """A setting in the file that nobody knows is a slip of its author."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        raise SettingsError(f"{path} cannot be read as YAML") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path} does not hold settings and values")
    unknown = [str(name) for name in content if name not in ServerSettings.model_fields]
    if unknown:
        raise SettingsError(f"{path}: no such setting: {', '.join(unknown)}")
