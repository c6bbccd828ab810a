import subprocess
import sys

import pytest

from metacompress_server.cli import main


def help_of(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_the_command_lists_its_subcommands(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys)
    for name in ("serve", "train", "eval", "inspect"):
        assert name in text


def test_serves_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys, "serve")
    for word in ("--compressor", "none", "127.0.0.1:8000", "vllm serve", "Exit status 2"):
        assert word in text


@pytest.mark.parametrize(
    ("name", "option"), [("train", "--data"), ("eval", "--retention"), ("inspect", "--image")]
)
def test_the_compressors_commands_bring_their_own_options(
    capsys: pytest.CaptureFixture[str], name: str, option: str
) -> None:
    assert option in help_of(capsys, name)


def test_a_command_runs_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--image", "i", "--model", "m", "--compressor", "gone", "--out", "o"]
    assert main(["inspect", *files]) == 2
    assert "metacompress inspect: " in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["train", "--nonsense"]])
def test_unknown_words_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: metacompress" in capsys.readouterr().err


def test_importing_the_command_imports_nothing_heavy() -> None:
    program = "import sys, metacompress_server.cli; print({'torch', 'vllm'} & set(sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "set()"
