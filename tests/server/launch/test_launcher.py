import json
import os
import socket
from pathlib import Path

import pytest

from metacompress_server.cli import main
from metacompress_server.launch import launcher
from metacompress_server.launch.flags import Flags
from metacompress_server.launch.launcher import LaunchError, Target, choose, prepare_flags
from metacompress_server.settings import ServerSettings

MODEL = Target("model", None, "model", embedded=False)


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "on_cpu", lambda: True)
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "on_cpu", lambda: False)


def flags_for(target: Target, *given: str) -> Flags:
    flags = Flags(given)
    prepare_flags(flags, target, ServerSettings.read())
    return flags


def test_a_model_needs_a_word_about_its_compressor() -> None:
    with pytest.raises(LaunchError, match=r"--compressor DIR .* --compressor none"):
        choose("some/model", None)


def test_a_users_model_is_named_after_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "my-llava"
    folder.mkdir()
    target = choose(str(folder), "none")
    assert target == Target(str(folder), None, "my-llava", embedded=False)


def test_no_model_is_the_embedded_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "model_dir", lambda: tmp_path)
    monkeypatch.setattr(launcher, "compressor_dir", lambda: tmp_path / "compressor")
    target = choose(None, None)
    assert target.compressor == tmp_path / "compressor"
    assert (target.name, target.embedded) == ("metacompress-embedded", True)
    assert choose(None, "none").compressor is None


def test_a_missing_embedded_model_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "model_dir", lambda: tmp_path / "gone")
    with pytest.raises(LaunchError, match="gone is missing"):
        choose(None, None)


@pytest.mark.usefixtures("gpu")
def test_pleasant_defaults_give_way_to_the_users() -> None:
    flags = flags_for(MODEL)
    assert flags.value("host") == "127.0.0.1"
    assert flags.value("port") == "8000"
    assert flags.value("served-model-name") == "model"
    assert flags.value("limit-mm-per-prompt") == '{"image": 16}'
    assert "enable-prompt-tokens-details" in flags
    assert "enforce-eager" not in flags
    given = flags_for(MODEL, "--port=1", "--host", "::", "--limit-mm-per-prompt", '{"image":2}')
    assert given.value("port") == "1"
    assert given.value("limit-mm-per-prompt") == '{"image":2}'


@pytest.mark.usefixtures("gpu")
def test_settings_that_vllm_obeys_become_its_flags() -> None:
    flags = Flags([])
    given = {"max_images_per_request": 3, "max_output_tokens": 50}
    prepare_flags(flags, MODEL, ServerSettings.read(given))
    assert flags.value("limit-mm-per-prompt") == '{"image": 3}'
    assert flags.value("override-generation-config") == '{"max_new_tokens": 50}'
    assert flags.value("load-format") == "safetensors"
    assert flags.value("middleware") == "metacompress_server.front.door.FrontDoor"


@pytest.mark.usefixtures("gpu")
def test_the_artifact_travels_with_the_users_overrides(tmp_path: Path) -> None:
    target = Target("model", tmp_path, "model", embedded=False)
    value = flags_for(target, "--hf-overrides", '{"x": 1}').value("hf-overrides")
    assert value is not None
    assert json.loads(value) == {
        "x": 1,
        "architectures": ["MetaCompressLlavaForConditionalGeneration"],
        "metacompress_compressor": str(tmp_path),
    }
    assert "hf-overrides" not in flags_for(MODEL)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("given", "executor"),
    [
        ([], "CompressingUniProcExecutor"),
        (["--tensor-parallel-size", "1"], "CompressingUniProcExecutor"),
        (["-tp", "2"], "CompressingMultiprocExecutor"),
        (["--pipeline-parallel-size=2"], "CompressingMultiprocExecutor"),
    ],
)
def test_one_worker_or_several(given: list[str], executor: str) -> None:
    value = flags_for(MODEL, *given).value("distributed-executor-backend")
    assert value == f"metacompress_server.engine.executor.{executor}"


@pytest.mark.usefixtures("gpu")
def test_the_users_executor_stays() -> None:
    flags = flags_for(MODEL, "--distributed-executor-backend", "ray")
    assert flags.value("distributed-executor-backend") == "ray"


@pytest.mark.usefixtures("cpu")
def test_a_cpu_gets_settings_that_start_in_seconds() -> None:
    flags = flags_for(Target("model", None, "model", embedded=True))
    assert "enforce-eager" in flags
    assert flags.value("block-size") == "32"
    assert flags.value("kv-cache-memory-bytes") == str(1 << 28)
    assert flags_for(MODEL).value("kv-cache-memory-bytes") == str(1 << 32)
    assert flags_for(MODEL, "--block-size", "128").value("block-size") == "128"


@pytest.mark.usefixtures("cpu")
def test_vllms_own_kv_space_variable_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "2")
    assert "kv-cache-memory-bytes" not in flags_for(MODEL)


@pytest.mark.usefixtures("cpu")
def test_the_environment_names_our_plugins_and_keeps_the_users_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "environ", {"VLLM_PLUGINS": "theirs", "OMP_NUM_THREADS": "7"})
    launcher.prepare_environment(Target("model", None, "model", embedded=True))
    assert os.environ["VLLM_PLUGINS"] == "theirs,metacompress,metacompress_api"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert os.environ["TORCHDYNAMO_DISABLE"] == "1"


@pytest.mark.usefixtures("gpu")
def test_a_model_on_the_hub_may_be_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    launcher.prepare_environment(MODEL)
    assert "HF_HUB_OFFLINE" not in os.environ
    assert "metacompress_api" in os.environ["VLLM_PLUGINS"].split(",")


def test_a_port_that_is_taken_is_said_before_the_model_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(LaunchError, match=port):
            launcher.check_port(Flags(["--host", "127.0.0.1", "--port", port]))
    launcher.check_port(Flags(["--host", "127.0.0.1", "--port", port]))


@pytest.mark.parametrize("port", ["many", "99999999"])
def test_a_port_that_is_none_is_named(port: str) -> None:
    with pytest.raises(LaunchError, match=port):
        launcher.check_port(Flags(["--host", "127.0.0.1", "--port", port]))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["model"], "--compressor"),
        (["model", "--compressor", "nowhere"], "nowhere"),
        (["model", "--compressor", "none", "--config", "gone.yaml"], "gone.yaml"),
        (["--retention", "7", "model"], "--retention 7"),
        (["--metacompress-config", "gone.yaml"], "gone.yaml"),
        (["--log-format", "yaml"], "--log-format yaml"),
        (["--log-format", "json", "--log-config-file", "mine.json"], "--log-format json"),
        (["--log-format=json", "--logging-config.formatter", "json"], "--log-format json"),
        (["--disable-access-log-for-endpoints", "/health"], "--no-access-log"),
    ],
)
def test_a_start_that_makes_no_sense_is_one_line_and_status_two(
    arguments: list[str],
    reason: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert main(["serve", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("metacompress serve: ")
    assert reason in line
