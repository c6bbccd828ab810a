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


RAY = """
import importlib.util
from metacompress_server.engine.executor import Compressing, compressing_executor
if importlib.util.find_spec("ray") is None:
    try:
        compressing_executor("ray")
    except ValueError as error:
        assert "needs the package `ray`" in str(error)
    else:
        raise AssertionError("accepted")
else:
    assert issubclass(compressing_executor("ray"), Compressing)
    assert compressing_executor("ray").uses_ray
assert compressing_executor("uni").__name__ == "CompressingUniProcExecutor"
assert compressing_executor("mp").__name__ == "CompressingMultiprocExecutor"
assert compressing_executor("external_launcher") is None
"""


def test_registering_twice_is_registering_once() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]


def test_each_of_vllms_executors_has_one_of_ours() -> None:
    ended = subprocess.run([sys.executable, "-c", RAY], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
