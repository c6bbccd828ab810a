"""Runs of `metacompress train` on tiny models, in this process."""

import argparse

import pytest
import torch

from metacompress_compressor.training import cli
from metacompress_compressor.training.console import RunConsole
from metacompress_compressor.training.run import run_training
from metacompress_compressor.training.team import Team


@pytest.fixture
def parse(tiny_llava, dialogue_folder):
    """Options of a small run; later ones win."""

    def parsed(out, *options):
        parser = argparse.ArgumentParser()
        cli.add_arguments(parser)
        where = ["--model", str(tiny_llava), "--data", str(dialogue_folder), "--out", str(out)]
        small = ["--retention", "0.25", "--batch-size", "4", "--key-dim", "8", "--steps", "6"]
        return parser.parse_args([*where, *small, *options])

    return parsed


@pytest.fixture
def train(parse):
    def run(out, *options):
        return run_training(cli.job_from(parse(out, *options)), Team("cpu"), RunConsole())

    return run


@pytest.fixture
def history():
    """The records in a run's checkpoint."""
    return lambda out: torch.load(out / "checkpoint.pt", weights_only=True)["history"]
