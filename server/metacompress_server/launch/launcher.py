"""`metacompress serve`: checks the compressor against the model, then runs vLLM's own server."""

import json
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

from metacompress_compressor.embedded import compressor_dir, model_dir
from metacompress_server.engine.plugin import ARCHITECTURE, COMPRESSOR_KEY
from metacompress_server.front.door import FRONT_DOOR
from metacompress_server.front.keys import KeyRing, KeysError
from metacompress_server.run_dir import share_run_dir
from metacompress_server.settings import UNCOMPRESSED, ServerSettings, SettingsError

from .flags import FlagError, Flags
from .json_logs import log_as_json
from .refused_flags import refuse_flags
from .say import say
from .session_tier import SessionTierError, session_tier

_EXECUTORS = "metacompress_server.engine.executor"
_OUR_PLUGINS = ("metacompress", "metacompress_api")
_LAST_PORT = 65_535
_EMBEDDED_NAME = "metacompress-embedded"


class LaunchError(ValueError):
    """The server cannot start as asked. The message is one line."""


@dataclass(frozen=True)
class Target:
    """What to serve.

    model: folder, or a name on the hub (then at `revision`).
    compressor: artifact folder; None for uncompressed.
    name: for clients.
    """

    model: str
    compressor: Path | None
    name: str
    embedded: bool
    revision: str | None = None


@dataclass(frozen=True)
class Preparation:
    """A start that makes sense. `lines`: what to tell the operator."""

    settings: ServerSettings
    target: Target
    flags: Flags
    lines: tuple[str, ...]


def launch(model: str | None, given: dict[str, Any], passed: Sequence[str]) -> int:
    """Start the server and stay until it ends.

    Args:
        model: None for the embedded one.
        given: settings from the command line, by field name.
        passed: flags for vLLM.

    Returns:
        Exit status: 2 where the request makes no sense or the compressor does not fit.
    """
    try:
        start = prepare(model, given, passed)
        check_port(start.flags)
    except LaunchError as error:
        print(f"metacompress serve: {error}", file=sys.stderr)
        return 2
    prepare_environment(start.target)
    start.settings.export()
    if start.settings.log_format == "json":
        log_as_json(start.flags)
    for line in start.lines:
        say(line)
    say(f"vLLM        {version('vllm')}, starting; the line with the URL comes when it is ready")
    from metacompress_server.engine.serve import run

    run([start.target.model, *start.flags.words])
    return 0


def prepare(model: str | None, given: dict[str, Any], passed: Sequence[str]) -> Preparation:
    """Everything that can be known before vLLM starts.

    Raises:
        LaunchError: settings, keys, flags, model or compressor make no sense.
    """
    try:
        settings = ServerSettings.read(given)
        KeyRing(settings)
        flags = Flags(passed)
        refuse_flags(flags, settings)
        target = choose(
            model or flags.setting("model"), settings.compressor, flags.setting("revision")
        )
        summary = verify(target, settings.retention)
        prepare_flags(flags, target, settings)
        tier = session_tier(settings, flags)
    except (FlagError, KeysError, SessionTierError, SettingsError) as error:
        raise LaunchError(str(error)) from error
    if tier.config is not None:
        flags.default("kv-transfer-config", json.dumps(tier.config))
    lines = (
        f"model       {target.model}",
        f"compressor  {summary}",
        f"session KV  {tier.line}",
        *_bypass_lines(settings),
    )
    return Preparation(settings, target, flags, lines)


def _bypass_lines(settings: ServerSettings) -> tuple[str, ...]:
    if not settings.bypass_share:
        return ()
    return (f"bypass      {settings.bypass_share:.1%} of dialogues keep all visual tokens",)


def vllm_help() -> int:
    """Print every flag of `vllm serve`."""
    from metacompress_server.engine.serve import run

    run(["--help=all"])
    return 0


def choose(model: str | None, compressor: str | None, revision: str | None = None) -> Target:
    """Which model with which compressor.

    Raises:
        LaunchError: a model of the user's without a word about its compressor.
    """
    if model is not None and compressor is None:
        raise LaunchError(
            f"{model}: say which compressor: --compressor DIR (an artifact trained for this "
            "model) or --compressor none (all visual tokens)"
        )
    folder = Path(model or model_dir())
    if model is None and not folder.is_dir():
        raise LaunchError(f"the embedded model is not in this installation: {folder} is missing")
    artifact = None if compressor == UNCOMPRESSED else Path(compressor or compressor_dir())
    return Target(
        model=str(folder.resolve()) if folder.is_dir() else str(model),
        compressor=artifact and artifact.resolve(),
        name=_EMBEDDED_NAME if model is None else folder.name,
        embedded=model is None,
        revision=revision,
    )


def verify(target: Target, retention: float | None = None) -> str:
    """Check the artifact against the model. Returns a line that says what it does to a picture.

    Raises:
        LaunchError: it does not fit, is broken, or is missing.
    """
    if target.compressor is None:
        return "none: pictures keep all their tokens"
    from metacompress_compressor.artifact import ArtifactError, load_artifact, verify_against_model
    from metacompress_server.plan import CompressionPlan
    from metacompress_server.rope import RopeError, mrope_section

    from .checkpoint import CheckpointMissing, local_folder, text_config

    try:
        artifact = load_artifact(target.compressor)
        folder = local_folder(target.model, target.revision)
        verify_against_model(artifact.config, folder)
        if artifact.config.positions == "kept":
            mrope_section(text_config(folder))
        plan = CompressionPlan.of(artifact, retention)
    except (ArtifactError, CheckpointMissing, RopeError) as error:
        raise LaunchError(str(error)) from error
    return (
        f"{target.compressor}: {plan.num_visual_tokens} visual tokens per picture become "
        f"{plan.num_compressed_tokens}, positions {artifact.config.positions}"
    )


def prepare_flags(flags: Flags, target: Target, settings: ServerSettings) -> None:
    """Add our flags, and defaults where the user set nothing."""
    if target.compressor is not None:
        flags.override(
            "hf-overrides",
            {"architectures": [ARCHITECTURE], COMPRESSOR_KEY: str(target.compressor)},
        )
    if "distributed-executor-backend" not in flags:
        flags.default("distributed-executor-backend", _executor(flags))
    flags.default("host", "127.0.0.1")
    flags.default("port", 8000)
    flags.default("served-model-name", target.name)
    images = settings.max_images_per_request
    flags.default("limit-mm-per-prompt", json.dumps({"image": images}))
    if settings.max_output_tokens is not None:
        limit = {"max_new_tokens": settings.max_output_tokens}
        flags.override("override-generation-config", limit)
    flags.default("load-format", "safetensors")
    flags.default("enable-prompt-tokens-details")
    flags.default("disable-uvicorn-access-log")
    flags.words += ["--middleware", FRONT_DOOR]
    if target.embedded:
        flags.default("no-use-tqdm-on-load")
    if on_cpu():
        _prepare_cpu_flags(flags, target)


def check_port(flags: Flags) -> None:
    """Find out in a second, not after the model is loaded.

    Raises:
        LaunchError: something else listens there, or the address is not this machine's.
    """
    if "uds" in flags:
        return
    host, port = str(flags.setting("host")), str(flags.setting("port"))
    if not port.isdigit() or int(port) > _LAST_PORT:
        raise LaunchError(f"--port {port} is not a port")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, int(port)), family=family).close()
    except OSError as error:
        raise LaunchError(f"cannot listen on {host}:{port}: {error}; see --host, --port") from error


def _executor(flags: Flags) -> str:
    """Our executor for one worker or for several, in this engine's process or beside it."""
    sizes = ("tensor-parallel-size", "pipeline-parallel-size")
    several = any(str(flags.setting(size) or 1) != "1" for size in sizes)
    kind = "CompressingMultiprocExecutor" if several else "CompressingUniProcExecutor"
    return f"{_EXECUTORS}.{kind}"


def _prepare_cpu_flags(flags: Flags, target: Target) -> None:
    """What makes vLLM start in seconds and stay small without a GPU."""
    if "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
        flags.default("kv-cache-memory-bytes", (1 << 28) if target.embedded else (1 << 32))
    flags.default("enforce-eager")
    flags.default("block-size", 32)


def prepare_environment(target: Target) -> None:
    """Plugins for every process of the server, quiet logs, CPU threads. The user's values stay."""
    share_run_dir()
    os.environ["VLLM_PLUGINS"] = ",".join(_plugins(os.environ.get("VLLM_PLUGINS")))
    defaults = {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VLLM_MEDIA_CONNECTOR": "metacompress",
    }
    if target.embedded:
        defaults |= {
            "VLLM_LOGGING_LEVEL": "ERROR",
            "TORCH_CPP_LOG_LEVEL": "ERROR",
            "TORCH_LOGS": "-torch._library",
            "PYTHONWARNINGS": "ignore::FutureWarning,ignore:resource_tracker",
        }
    if Path(target.model).is_dir():
        defaults["HF_HUB_OFFLINE"] = "1"
    if on_cpu():
        defaults |= {"TORCHDYNAMO_DISABLE": "1", "KMP_BLOCKTIME": "0"}
    if on_cpu() and target.embedded:
        defaults["OMP_NUM_THREADS"] = "1"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _plugins(given: str | None) -> list[str]:
    """Ours and the user's; without a choice of the user's, all that vLLM would load by itself."""
    if given is not None:
        return list(dict.fromkeys([*filter(None, given.split(",")), *_OUR_PLUGINS]))
    groups = ("general", "platform", "io_processor", "stat_logger")
    found = [
        point.name for group in groups for point in entry_points(group=f"vllm.{group}_plugins")
    ]
    return list(dict.fromkeys([*found, *_OUR_PLUGINS]))


def on_cpu() -> bool:
    """Whether vLLM's CPU build is installed."""
    return version("vllm").endswith("+cpu")
