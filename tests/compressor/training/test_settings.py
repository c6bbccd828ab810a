"""Settings out of range are named before anything is loaded."""

from pathlib import Path

import pytest

from metacompress_compressor.training.settings import SettingsError, TrainJob, TrainSettings


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"retention_ratios": ()}, "at least one ratio"),
        ({"retention_ratios": (0.1, 1.0)}, "retention must be between 0 and 1, not 1.0"),
        ({"retention_range": (0.5, 0.1)}, "retention range must rise within 0 and 1, not 0.5:0.1"),
        ({"retention_range": (0.1, 1.0)}, "retention range must rise within 0 and 1"),
        ({"entropy_ramp": (0.8, 0.5)}, "entropy_ramp must rise within 0 and 1, not 0.8 to 0.5"),
        ({"entropy_ramp": (0.5, 1.5)}, "entropy_ramp must rise within 0 and 1"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"batch_size": -1}, "batch_size must be at least 1"),
        ({"key_dim": 0}, "key_dim must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"entropy_weight": -0.1}, "entropy_weight must not be negative"),
        ({"clip": -1.0}, "clip must not be negative"),
        ({"warmup_share": 1.0}, "warmup_share must be between 0 and 1"),
        ({"initial_mass": 0.0}, "initial_mass must be between 0 and 1"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0, not nan"),
    ],
)
def test_out_of_range(setting, message):
    with pytest.raises(SettingsError, match=message):
        TrainSettings(**setting)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"save_every": 0}, "save_every must be"),
        ({"threads": -1}, "threads must not be negative"),
        ({"micro_batch": -1}, "micro_batch must not be negative"),
    ],
)
def test_job_out_of_range(setting, message):
    with pytest.raises(SettingsError, match=message):
        TrainJob(Path("model"), (), Path("out"), **setting)


def test_measured_budgets_are_the_ratios_and_the_ends_of_the_range():
    assert TrainSettings(retention_ratios=(0.1, 0.5)).measured_ratios == (0.1, 0.5)
    both = TrainSettings(retention_ratios=(0.1,), retention_range=(0.05, 0.5))
    assert both.measured_ratios == (0.1, 0.05, 0.5)
    assert TrainSettings(retention_ratios=(0.1, 0.5, 0.1)).measured_ratios == (0.1, 0.5)
    alone = TrainSettings(retention_ratios=(0.05, 0.5), retention_range=(0.05, 0.5))
    assert alone.measured_ratios == (0.05, 0.5)


def test_record_is_json():
    assert TrainSettings(retention_ratios=(0.1, 0.2)).record()["retention_ratios"] == [0.1, 0.2]
