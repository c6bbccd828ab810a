"""Two processes train as one does, and none waits for one that has failed."""

import os
import socket
import subprocess
import sys

import pytest
import torch

from metacompress_compressor.training.settings import SettingsError
from metacompress_compressor.training.team import Team

WORKER = """
import sys, torch
from metacompress_compressor.training import cli
from metacompress_compressor.training.loop import Trainer
import argparse

fail_rank, *options = sys.argv[1:]
original = Trainer._own_gradients

def out_of_memory(self, step, weights):
    if step == 3 and str(self._team.rank) == fail_rank:
        raise torch.OutOfMemoryError("no memory left")
    return original(self, step, weights)

Trainer._own_gradients = out_of_memory
parser = argparse.ArgumentParser()
cli.add_arguments(parser)
status = cli.run(parser.parse_args(options))
# A process that is still in its group is aborted at exit, but only now and then.
sys.exit("still in the process group" if torch.distributed.is_initialized() else status)
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run_together(size, options, fail_rank="none"):
    """Processes as `torchrun` starts them. Returns their exit statuses and what they wrote."""
    common = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": str(size),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-c", WORKER, fail_rank, *map(str, options)]
    processes = [
        subprocess.Popen(
            command,
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    written = [process.communicate(timeout=300) for process in processes]
    return [process.returncode for process in processes], written


@pytest.fixture
def options(tiny_llava, dialogue_folder):
    where = ["--model", tiny_llava, "--data", dialogue_folder, "--dtype", "float32"]
    # Ten dialogues in threes: batches that two processes cannot share evenly, and one of a single.
    return [*where, "--retention", "0.25", "0.5", "--batch-size", "3", "--key-dim", "8"]


@pytest.mark.slow
def test_two_processes_give_what_one_gives(options, history, tmp_path):
    evaluated = [*options, "--steps", "8", "--eval-data", options[3]]
    for size in (1, 2):
        statuses, written = run_together(size, [*evaluated, "--out", tmp_path / str(size)])
        assert statuses == [0] * size, written
    alone, together = (history(tmp_path / name) for name in "12")
    assert len(together) == 8
    for name in ("loss", "kl", "entropy", "column", "gradient_norm"):
        expected = [record[name] for record in alone]
        assert [record[name] for record in together] == pytest.approx(expected, rel=1e-4)
    first, second = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["mapping"] for name in "12"
    )
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=1e-4)
    assert [bool(out) for out, _ in written] == [True, False], "the first process alone reports"


@pytest.mark.slow
def test_a_process_out_of_memory_ends_all_and_leaves_a_checkpoint(options, history, tmp_path):
    job = [*options, "--steps", "6", "--out", tmp_path / "parts"]
    statuses, written = run_together(2, job, fail_rank="1")
    assert statuses == [2, 1], written
    assert "another process of this run has failed" in written[0][1]
    assert "no memory left; go on with --resume" in written[1][1]
    assert len(history(tmp_path / "parts")) == 3

    whole = [*options, "--steps", "6", "--out", tmp_path / "whole"]
    for complete in (whole, [*job, "--resume"]):
        statuses, written = run_together(2, complete)
        assert statuses == [0, 0], written
    assert history(tmp_path / "whole") == history(tmp_path / "parts")


@pytest.mark.parametrize(
    ("device", "message"),
    [("gpu", "device 'gpu' is none that torch knows"), ("cuda", "there is no device cuda")],
)
def test_devices_that_are_not_there(device, message):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(SettingsError, match=message):
        Team(device)


def test_alone_everything_stays_as_it_is():
    team = Team("cpu")
    assert (team.size, team.is_main, team.device.type) == (1, True, "cpu")
    assert team.share([1, 2, 3]) == [1, 2, 3]
    assert (team.any(True), team.any(False)) == (True, False)
    sums = torch.tensor([1.0, 2.0])
    assert torch.equal(team.add_up(torch.nn.Linear(1, 1), sums), sums)


@pytest.mark.gpu
def test_a_gpu_trains_as_a_cpu_does(parse, history, tmp_path):
    from metacompress_compressor.training import cli
    from metacompress_compressor.training.console import RunConsole
    from metacompress_compressor.training.run import run_training

    for device in ("cpu", "cuda"):
        job = cli.job_from(parse(tmp_path / device, "--dtype", "float32", "--device", device))
        run_training(job, Team(device), RunConsole())
    expected, found = (
        [record["kl"] for record in history(tmp_path / device)] for device in ("cpu", "cuda")
    )
    assert found == pytest.approx(expected, rel=0.02)
