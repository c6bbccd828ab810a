"""The sheet shows what P does, and bad input is named in one line."""

import argparse
import json

import pytest
import torch
from PIL import Image

from metacompress_compressor.adapters import load_adapter
from metacompress_compressor.artifact import CompressorConfig, save_artifact
from metacompress_compressor.inspection import cli
from metacompress_compressor.inspection.compare import Comparison, Overview
from metacompress_compressor.inspection.figure import draw_figure
from metacompress_compressor.inspection.measure import measure_weights
from metacompress_compressor.mapping import TokenMapping
from metacompress_compressor.windows import Grid


@pytest.fixture(scope="module")
def artifact(tiny_llava, tmp_path_factory):
    adapter = load_adapter(tiny_llava)
    torch.manual_seed(0)
    mapping = TokenMapping(adapter.hidden_size, 8)
    config = CompressorConfig.describe(
        mapping,
        positions="kept",
        retention_ratio=0.25,
        trained_retention_ratios=(0.25,),
        base_model=adapter.base_model_info(),
    )
    folder = tmp_path_factory.mktemp("artifact")
    save_artifact(folder, mapping, config)
    return folder


def run(*options):
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return cli.run(parser.parse_args([str(option) for option in options]))


def test_figures_at_known_points():
    one_hot = measure_weights(torch.eye(16)[[0, 5]])
    assert one_hot.entropy == (0, 0)
    assert one_hot.summary()["max_column_sum"] == 1
    assert one_hot.unseen_share == 14 / 16
    flat = measure_weights(torch.full((4, 16), 1 / 16))
    assert flat.summary()["max_column_sum"] == 0.25
    assert flat.unseen_share == 0


def test_light_falls_where_the_row_looks():
    weights = torch.zeros(2, 16)
    weights[0, 0] = weights[1, 15] = 1
    picture = Image.new("RGB", (64, 64), (128, 128, 128))
    overviews = [Overview("coverage", weights.sum(0)), Overview("last", weights[1])]
    sheet = draw_figure(picture, weights, Grid(4, 4), 2, measure_weights(weights), overviews)
    first_tile_top = 384 + 16 + 3 * 8
    top_left = sheet.getpixel((8 + 6, first_tile_top + 6))
    bottom_right = sheet.getpixel((8 + 106, first_tile_top + 106))
    assert top_left[0] > 2 * bottom_right[0]
    second_overview = 8 + 2 * (384 + 8)
    top_left = sheet.getpixel((second_overview + 20, 8 + 20))
    bottom_right = sheet.getpixel((second_overview + 364, 8 + 364))
    assert bottom_right[0] > 2 * top_left[0]


def test_comparison_at_known_points():
    """P looks at the four tokens that the class token looks at; sampling looks elsewhere."""
    weights = torch.eye(16)[[0, 1, 2, 3]]
    attention = torch.full((16,), 0.01)
    attention[:4] = 0.2
    sampling = torch.eye(16)[[0, 5, 10, 15]].sum(0)
    comparison = Comparison(weights.sum(0), sampling, attention)
    assert comparison.figures() == {
        "sampling_unseen_share": 0.75,
        "correlation_with_cls_attention": 1.0,
        "cls_attention_on_its_top_m": round(0.8 / 0.92, 4),
    }
    assert len(comparison.overviews(1.0, 0.75)) == 3
    without = Comparison(weights.sum(0), sampling, None)
    assert without.figures()["correlation_with_cls_attention"] is None
    assert len(without.overviews(1.0, 0.75)) == 2


def test_command_writes_the_sheet(tiny_llava, artifact, dialogue_folder, tmp_path, capsys):
    picture = dialogue_folder / "0.png"
    where = ["--model", tiny_llava, "--compressor", artifact, "--out", tmp_path / "sheet.png"]
    assert run("--image", picture, *where) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["image_tokens_original"], summary["image_tokens"]) == (16, 4)
    assert summary["sampling_unseen_share"] == 0.75
    assert -1 <= summary["correlation_with_cls_attention"] <= 1
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
    assert run("--image", picture, *where, "--retention", 0.6) == 0
    assert json.loads(capsys.readouterr().out)["image_tokens"] == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--image", "nowhere.png"], "cannot read picture nowhere.png"),
        (["--retention", "0"], "retention_ratio must be in (0, 1], not 0.0"),
        (["--compressor", "nowhere"], "cannot read nowhere/config.json"),
        (["--model", "nowhere"], "nowhere"),
        (["--out", "no/such/folder/sheet.png"], "cannot write no/such/folder/sheet.png"),
    ],
)
def test_bad_input_is_named(tiny_llava, artifact, dialogue_folder, capsys, options, message):
    image = dialogue_folder / "0.png"
    good = ["--image", image, "--model", tiny_llava, "--compressor", artifact, "--out", "x.png"]
    assert run(*good, *options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
