import json
from pathlib import Path

import pytest

from benchmarks import outsider_tools
from benchmarks.outsider_tools import Seen, ToolError, Work, aiperf, vllm_bench
from benchmarks.outsiders import Run, record
from benchmarks.serving.contestants import Contestant

WORK = Work(requests=4)


def run(tool: str, ttft: float, rate: float, server_ttft: float = 0.2) -> Run:
    counted = {
        "ttft_s": 4 * server_ttft,
        "requests": 4.0,
        "prompt_tokens": 400.0,
        "answer_tokens": 64.0,
    }
    return Run(tool, "full", Seen(4, 0, ttft, ttft, rate), counted)


def test_ratios_are_paired_by_round() -> None:
    runs = [
        run("ours", 0.2, 2.0),
        run("theirs", 0.3, 1.0),
        run("ours", 0.4, 1.0),
        run("theirs", 0.4, 1.0),
    ]
    contestant = Contestant("full", 576, (), ("--flag",))
    found = record("theirs", contestant, runs, WORK)
    assert found.metrics["ttft_mean_to_ours"]["rounds"] == pytest.approx([1.5, 1.0])
    assert found.metrics["requests_per_s_to_ours"]["rounds"] == pytest.approx([0.5, 1.0])
    assert found.metrics["ttft_beyond_server_s"]["rounds"] == pytest.approx([0.1, 0.2])
    assert found.metrics["prompt_tokens"] == 100
    assert found.metrics["asked_requests"] == found.metrics["server_requests"] == 8
    assert found.provenance["flags"] == ["--flag"]


def test_what_vllm_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "completed": 3,
        "mean_ttft_ms": 120.0,
        "median_ttft_ms": 100.0,
        "request_throughput": 1.5,
    }
    words = _instead(monkeypatch, lambda: (tmp_path / "vllm.json").write_text(json.dumps(said)))
    assert vllm_bench("http://u", tmp_path, WORK, 7, tmp_path) == Seen(3, 1, 0.12, 0.1, 1.5)
    (command,) = words
    assert command[command.index("--seed") + 1] == "7"
    assert command[command.index("--random-mm-bucket-config") + 1] == "{(336, 336, 1): 1.0}"


def test_what_aiperf_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "request_count": {"avg": 3.0},
        "error_request_count": {"avg": 1.0},
        "time_to_first_token": {"avg": 120.0, "p50": 100.0},
        "request_throughput": {"avg": 1.5},
    }
    file = tmp_path / "profile_export_aiperf.json"
    words = _instead(monkeypatch, lambda: file.write_text(json.dumps(said)))
    seen = aiperf("/bin/aiperf")("http://u", tmp_path, WORK, 7, tmp_path)
    assert seen == Seen(3, 1, 0.12, 0.1, 1.5)
    assert words[0][0] == "/bin/aiperf"


def test_a_tool_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="status"):
        aiperf("false")("http://u", tmp_path, WORK, 7, tmp_path)


@pytest.mark.parametrize("offline", [True, False])
def test_what_a_tool_is_told_of_the_hub(offline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    wanted = "1" if offline else ""
    outsider_tools._run(["sh", "-c", f'test "$HF_HUB_OFFLINE" = "{wanted}"'], offline)


def _instead(monkeypatch: pytest.MonkeyPatch, write) -> list[list[str]]:
    """Take the place of the tool: note its words and write what it would write."""
    words: list[list[str]] = []

    def run_tool(command: list[str], offline: bool = True) -> None:
        words.append(command)
        write()

    monkeypatch.setattr(outsider_tools, "_run", run_tool)
    return words
