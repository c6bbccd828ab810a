from pathlib import Path

import pytest

from benchmarks.capacity.cases import MODELS, plan
from benchmarks.capacity.page import PAGE, filled, main
from benchmarks.capacity.plots import draw_gpus, draw_models
from benchmarks.capacity.tables import NOT_MEASURED, profile_table
from benchmarks.records import Record


def test_the_page_holds_what_the_results_say() -> None:
    assert main(["--check"]) == 0


def test_a_page_behind_its_results_is_noticed() -> None:
    text = PAGE.read_text()
    assert (
        filled(text.replace("| llava-1.5-7b | 1 x H100-80GB |", "| llava-1.5-7b | none |")) == text
    )


def test_a_table_that_there_is_not() -> None:
    with pytest.raises(KeyError, match="wishes"):
        filled("<!-- table: wishes -->\n<!-- end of table -->")


def test_every_case_holds_some_uncompressed_dialogue() -> None:
    for case in MODELS:
        assert plan(case).estimates[0].sessions > 0, case


def test_the_plots_are_pictures(tmp_path: Path) -> None:
    for draw in (draw_models, draw_gpus):
        draw(tmp_path / "plot.png")
        assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_the_papers_figures_stand_alone_until_a_gpu_measured() -> None:
    text = profile_table([])
    assert NOT_MEASURED in text
    assert "| LLaVA-1.5-7B | the paper |" in text


def test_a_measured_row() -> None:
    origin = {"hardware": {"device": "GPU"}}
    metrics = {
        "ttft_s": {"p50": 0.05},
        "e2e_s": {"p50": 1.0},
        "first_turn_flops": 8.4e12,
        "memory_bytes": 14_900_000_000,
        "ttft_ratio": {"p50": 0.42},
    }
    cell = {"shape": "llava-1.5-7b", "visual_tokens": 56}
    text = profile_table([Record("gpu_profile", cell, metrics, origin)])
    assert NOT_MEASURED not in text
    assert "| llava-1.5-7b | GPU | 56 | 50.0 | 1000 | 8.4 | 14.9 | 0.42 |" in text
