import json
from pathlib import Path

import pytest

from metacompress_server.launch.flags import FlagError, Flags


@pytest.mark.parametrize(
    "words",
    [["--max-model-len", "128"], ["--max-model-len=128"], ["--max_model_len", "128"]],
)
def test_a_flag_is_found_however_it_is_spelled(words: list[str]) -> None:
    flags = Flags(words)
    assert flags.setting("max-model-len") == "128"
    flags.default("max-model-len", 64)
    assert flags.words == words


def test_a_default_fills_in_what_the_user_left_out() -> None:
    flags = Flags(["--port", "9000"])
    flags.default("port", 8000)
    flags.default("host", "127.0.0.1")
    flags.default("enforce-eager")
    assert flags.words == ["--port", "9000", "--host", "127.0.0.1", "--enforce-eager"]


def test_a_negated_switch_is_the_users_word() -> None:
    flags = Flags(["--no-enforce-eager"])
    flags.default("enforce-eager")
    assert flags.words == ["--no-enforce-eager"]


def test_the_last_value_counts() -> None:
    assert Flags(["--port", "1", "--port", "2"]).value("port") == "2"


def test_overrides_are_merged_with_the_users() -> None:
    flags = Flags(["--hf-overrides", '{"text_config": {"a": 1}, "architectures": ["x"]}'])
    flags.override("hf-overrides", {"architectures": ["ours"]})
    value = flags.value("hf-overrides")
    assert value is not None
    assert json.loads(value) == {"text_config": {"a": 1}, "architectures": ["ours"]}


def test_overrides_that_are_no_object_are_named() -> None:
    with pytest.raises(FlagError, match="hf-overrides"):
        Flags(["--hf-overrides", "nonsense"]).override("hf-overrides", {})


def test_a_config_file_counts_as_the_users_word(tmp_path: Path) -> None:
    path = tmp_path / "vllm.yaml"
    path.write_text("port: 9000\nmax_model_len: 64\n")
    flags = Flags(["--config", str(path)])
    flags.default("port", 8000)
    assert flags.words == ["--config", str(path)]
    assert flags.setting("max-model-len") == 64


@pytest.mark.parametrize("content", ["- a list", "{broken", None])
def test_a_config_file_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "vllm.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(FlagError, match=r"vllm\.yaml"):
        Flags(["--config", str(path)])
