"""The plugin in vLLM's registries, in a process of its own: importing vLLM changes the process."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
from metacompress_server.engine.plugin import ARCHITECTURE, register
register()
register()
from vllm import ModelRegistry
from vllm.model_executor.models.config import MODELS_CONFIG_MAP
from metacompress_server.engine.configuration import MetaCompressConfig
assert list(ModelRegistry.get_supported_archs()).count(ARCHITECTURE) == 1
assert MODELS_CONFIG_MAP[ARCHITECTURE] is MetaCompressConfig
"""


def test_registering_twice_is_registering_once() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
