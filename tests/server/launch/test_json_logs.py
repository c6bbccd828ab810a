import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from metacompress_server.launch.flags import Flags
from metacompress_server.launch.json_logs import log_as_json
from metacompress_server.run_dir import RUN_DIR


@pytest.fixture(autouse=True)
def loggers_as_they_were() -> Iterator[None]:
    names = ("", "vllm", "uvicorn", "metacompress")
    loggers = [logging.getLogger(name) for name in names]
    before = [(one.handlers[:], one.level, one.propagate) for one in loggers]
    yield
    for one, (handlers, level, propagate) in zip(loggers, before, strict=True):
        one.handlers[:], one.level, one.propagate = handlers, level, propagate


@pytest.mark.parametrize(("words", "level"), [([], "ERROR"), (["--log-level", "DEBUG"], "DEBUG")])
def test_vllms_processes_find_the_configuration_by_its_own_variable(
    words: list[str], level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {RUN_DIR: str(tmp_path), "VLLM_LOGGING_LEVEL": "ERROR"}
    monkeypatch.setattr(os, "environ", environment)
    log_as_json(Flags(words))
    config = json.loads(Path(environment["VLLM_LOGGING_CONFIG_PATH"]).read_text())
    assert config["loggers"]["vllm"]["level"] == level
    assert logging.getLogger("vllm").level == getattr(logging, level)
