"""Sets JSON logs up before vLLM starts, for this process and every one that vLLM starts."""

import logging.config
import os
from pathlib import Path

from metacompress_server.logs import json_config, write_json_config
from metacompress_server.run_dir import RUN_DIR

from .flags import FlagError, Flags

_VLLMS_FILE = "VLLM_LOGGING_CONFIG_PATH"
_THEIRS = ("--log-config", "--log_config", "--logging-config", "--logging_config")


def refuse_another_configuration(flags: Flags) -> None:
    """There is one logging configuration. Raises FlagError."""
    if _VLLMS_FILE in os.environ or any(word.startswith(_THEIRS) for word in flags.words):
        raise FlagError("--log-format json and a logging configuration of yours exclude each other")


def log_as_json(flags: Flags) -> None:
    """Here, and by vLLM's own configuration file elsewhere. Needs the run's folder."""
    level = str(flags.setting("log-level") or os.environ["VLLM_LOGGING_LEVEL"])
    path = write_json_config(Path(os.environ[RUN_DIR]), level)
    os.environ[_VLLMS_FILE] = str(path)
    logging.config.dictConfig(json_config(level))
