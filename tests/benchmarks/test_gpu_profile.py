import json
from pathlib import Path

import pytest
import torch

from benchmarks.gpu_profile import main, quantiles


def test_quantiles_by_name() -> None:
    assert quantiles([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == pytest.approx(
        {"p20": 2.0, "p50": 3.5, "p80": 5.0}
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_a_published_shape_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([])
    assert end.value.code == 2
    assert "--shape tiny" in capsys.readouterr().err


def test_the_tiny_shape_never_becomes_a_result(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--shape", "tiny"])
    assert end.value.code == 2
    assert "--output" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_path_at_tiny_size(tmp_path: Path) -> None:
    file = tmp_path / "tiny.jsonl"
    words = ["--shape", "tiny", "--rounds", "1", "--answer-tokens", "4", "--output", str(file)]
    assert main(words) == 0
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert [r["cell"]["retention_ratio"] for r in records] == [1.0, 0.3, 0.1, 0.05]
    assert [r["cell"]["visual_tokens"] for r in records] == [144, 42, 12, 6]
    work = [r["metrics"]["first_turn_flops"] for r in records]
    assert work == sorted(work, reverse=True)
    for record in records:
        assert record["metrics"]["ttft_s"]["p50"] > 0
        assert "dummy" in record["provenance"]["flags"]
