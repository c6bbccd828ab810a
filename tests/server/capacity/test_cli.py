import json
import shutil
from pathlib import Path

import pytest

from metacompress_compressor.embedded import model_dir
from metacompress_server.cli import main

ON_A100 = ["plan", "llava-1.5-7b", "--gpu", "A100-80GB"]


def plan_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict:
    assert main(["plan", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_table_for_people(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(ON_A100) == 0
    out = capsys.readouterr().out
    for text in ("576 -> 56", "512.0 KiB a token", "assumed, not measured", "llava-hf/"):
        assert text in out, text


def test_a_document_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of(["llava-1.5-7b", "--gpu", "A100-80GB", "--retention", "0.1", "0.05"], capsys)
    full, tenth, twentieth = plan["budgets"]
    assert full["retention_ratio"] == 1.0
    assert full["sessions"] < tenth["sessions"] < twentieth["sessions"]
    assert tenth["times_uncompressed"] == tenth["sessions"] / full["sessions"]
    assert tenth["first_turn_s"] == pytest.approx(tenth["first_turn_flops"] / (0.5 * 312e12))
    memory = plan["machine"]["memory"]
    assert memory["kv"] == memory["allowed"] - memory["weights"] - memory["reserve"]


def test_replicas_add_up_and_parts_share_weights(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["llava-1.5-7b", "--gpu", "L40S", "--retention", "0.1"]
    one, two, parted = (
        plan_of([*words, *more], capsys)
        for more in ([], ["--gpus", "2"], ["--gpus", "2", "--tensor-parallel-size", "2"])
    )
    sessions = [plan["budgets"][1]["sessions"] for plan in (one, two, parted)]
    assert sessions[1] == 2 * sessions[0] < sessions[2]


def test_a_known_kv_cache_needs_no_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(model_dir())
    plan = plan_of([folder, "--kv-cache-memory-bytes", "256M", "--session-kv-gib", "1"], capsys)
    assert plan["machine"]["memory"]["kv"] == 256 << 20
    assert plan["model"]["served"]
    for budget in plan["budgets"]:
        assert budget["first_turn_s"] is None
        block = budget["kv_bytes"] // budget["blocks"]
        assert budget["host_sessions"] == (1 << 30) // (block * budget["kept_blocks"])


def test_a_folder_without_weights_is_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(model_dir() / "config.json", tmp_path)
    words = [str(tmp_path), "--gpu-memory-gib", "4", "--dtype", "float32"]
    plan = plan_of(words, capsys)
    assert plan["machine"]["memory"]["weights"] == 4 * plan["model"]["weights"]


def test_what_is_known_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--list"]) == 0
    out = capsys.readouterr().out
    assert "llava-next-72b" in out
    assert "H200-141GB" in out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "say which model"),
        (["nowhere", "--gpu", "L4"], "nowhere"),
        (["llava-1.5-7b"], "--gpu-memory-gib"),
        (["llava-next-72b", "--gpu", "L4"], "135.34 GiB of weights"),
        (["qwen2-vl-7b", "--gpu", "L4", "--gpus", "8", "--tensor-parallel-size", "8"], "28"),
        (["llava-1.5-7b", "--gpu", "L4", "--gpus", "3", "--tensor-parallel-size", "2"], "--gpus 3"),
        (["llava-1.5-7b", "--kv-cache-memory-bytes", "lots"], "lots"),
        (["llava-next-7b", "--gpu", "L4", "--picture", "4000x1"], "4000x1"),
    ],
)
def test_what_cannot_be_planned(
    words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("metacompress plan: ")
    assert err.count("\n") == 1
    assert reason in err


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--retention", "1.5"),
        ("--retention", "nan"),
        ("--turns", "0"),
        ("--gpu", "H9000"),
        ("--picture", "wide"),
        ("--gpu-memory-utilization", "0"),
        ("--reserve-gib", "inf"),
    ],
)
def test_a_value_out_of_range(flag: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*ON_A100[:2], flag, value])
    assert end.value.code == 2
    assert value in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "note"),
    [
        (["llava-next-34b", "--gpu", "H200-141GB"], "not served"),
        (["llava-1.5-7b", "--gpu", "L4", "--turns", "80"], "positions"),
        (["llava-1.5-7b", "--kv-cache-memory-bytes", "100M"], "not one uncompressed dialogue"),
    ],
)
def test_what_must_be_told_is_told(
    words: list[str], note: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert any(note in line for line in plan_of(words, capsys)["notes"])
