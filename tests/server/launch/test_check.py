from pathlib import Path

import pytest

from metacompress_server.cli import main
from metacompress_server.launch import check as checking


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
