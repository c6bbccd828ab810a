from pathlib import Path

import pytest

from metacompress_server.cli import main
from metacompress_server.launch import check as checking
from metacompress_server.launch.check import size_of
from metacompress_server.launch.launcher import LaunchError

GIB = 1 << 30


def lines_of(capsys: pytest.CaptureFixture[str]) -> tuple[list[str], list[str]]:
    out, err = capsys.readouterr()
    return out.splitlines(), err.splitlines()


def test_the_embedded_model_fits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--port", "8299"]) == 0
    out, err = lines_of(capsys)
    assert out[-1] == "everything fits"
    assert err == []
    for word in ("model", "compressor", "memory", "host"):
        assert any(line.startswith(word) for line in out)


def test_every_problem_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "a-file"
    file.write_text("")
    words = ["--state-dir", str(file), "--port", "99999", "--encoder-cache-gib", "1000000"]
    assert main(["check", *words]) == 2
    _, err = lines_of(capsys)
    for reason in ("a-file", "99999", "of host memory are wanted"):
        assert any(reason in line for line in err), err
    assert all(line.startswith("metacompress check: ") for line in err)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--retention", "9"], "--retention 9"),
        (["--retention", "0.001"], "--retention 0.001"),
        (["--api-keys-file", "gone.yaml"], "gone.yaml"),
        (["--trust-remote-code"], "--trust-remote-code"),
        (["--allowed-media-domains", "a.example"], "--allowed-image-hosts"),
        (["model"], "--compressor"),
        (["--compressor", "nowhere"], "nowhere"),
    ],
)
def test_a_start_that_makes_no_sense(
    words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *words]) == 2
    _, (line,) = lines_of(capsys)
    assert reason in line


def test_a_machine_with_too_few_gpus(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checking, "on_cpu", lambda: False)
    assert main(["check", "--port", "8299", "-tp", "64"]) == 2
    _, (line,) = lines_of(capsys)
    assert "64 GPUs are wanted" in line


@pytest.mark.parametrize(
    ("text", "size"), [(None, 0), (5, 5), ("7", 7), ("2k", 2000), ("1.5G", 3 * GIB // 2)]
)
def test_sizes_as_vllm_takes_them(text: object, size: int) -> None:
    assert size_of(text) == size


def test_what_is_no_size() -> None:
    with pytest.raises(LaunchError, match="lots"):
        size_of("lots")
