import argparse
import os

import pytest

from metacompress_server.launch.settings_flags import add_settings, split
from metacompress_server.settings import CONFIG, ServerSettings


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_settings(parser)
    return parser


def test_ours_are_taken_out_and_vllms_keep_their_order(parser: argparse.ArgumentParser) -> None:
    words = ["--retention", "0.2", "model", "--port", "1", "--max_pixels=9", "--seed", "3"]
    model, given, passed = split(parser, words)
    assert model == "model"
    assert given == {"retention": "0.2", "max_pixels": "9"}
    assert passed == ["--port", "1", "--seed", "3"]


def test_a_value_of_vllms_flag_is_not_the_model(parser: argparse.ArgumentParser) -> None:
    assert split(parser, ["--port", "1", "--compressor", "none"])[0] is None


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("--require-key-for-metrics", True),
        ("--no-require-key-for-metrics", False),
        ("--no_require_key_for_metrics", False),
    ],
)
def test_a_switch(parser: argparse.ArgumentParser, word: str, value: bool) -> None:
    assert split(parser, [word])[1] == {"require_key_for_metrics": value}


def test_a_value_that_looks_like_a_setting_stays(parser: argparse.ArgumentParser) -> None:
    assert split(parser, ["max_pixels"])[0] == "max_pixels"


def test_the_file_goes_into_the_environment(
    parser: argparse.ArgumentParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {})
    split(parser, ["--metacompress-config", "a.yaml"])
    assert os.environ == {CONFIG: "a.yaml"}


def test_the_help_names_every_setting_and_what_it_means(parser: argparse.ArgumentParser) -> None:
    text = " ".join(parser.format_help().split())
    for name, field in ServerSettings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in text
        assert field.description
        assert field.description in text
