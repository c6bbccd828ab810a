import math
import random
import statistics

import pytest

from metacompress_server.prefill_calibration import PrefillCalibration


def calibrated(
    num_requests: int, noise: float, lengths: range = range(20, 400), per_token: float = 1e-3
) -> PrefillCalibration:
    """Prefills of 10 ms and `per_token` besides, with noise of so many seconds."""
    draw = random.Random(1)
    calibration = PrefillCalibration()
    for _ in range(num_requests):
        tokens = draw.choice(lengths)
        calibration.observe(tokens, 0.01 + per_token * tokens + draw.gauss(0.0, noise))
    return calibration


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_the_cost_of_a_token_is_found_beside_what_every_prefill_costs(noise: float) -> None:
    assert calibrated(2000, noise).seconds_per_token == pytest.approx(1e-3, rel=0.05)


def test_the_error_is_that_of_ordinary_least_squares() -> None:
    draw = random.Random(2)
    points = [(tokens, 1e-3 * tokens + draw.gauss(0, 0.1)) for tokens in range(40)]
    calibration = PrefillCalibration()
    for tokens, seconds in points:
        calibration.observe(tokens, seconds)
    slope, intercept = statistics.linear_regression(*zip(*points, strict=True))
    assert calibration._ts / calibration._tt == pytest.approx(slope, rel=0.05)
    squares = sum((seconds - intercept - slope * tokens) ** 2 for tokens, seconds in points)
    spread = sum((tokens - 19.5) ** 2 for tokens, _ in points)
    error = math.sqrt(squares / (len(points) - 2) / spread)
    assert calibration._error(slope) == pytest.approx(error, rel=0.05)


def test_too_few_requests_say_nothing() -> None:
    assert calibrated(29, 0.0).seconds_per_token is None


def test_a_cost_that_drowns_in_noise_is_not_told() -> None:
    assert calibrated(100, 5.0).seconds_per_token is None


def test_requests_of_one_length_say_nothing() -> None:
    assert calibrated(100, 0.01, range(50, 51)).seconds_per_token is None


def test_nothing_is_avoided_at_a_negative_cost() -> None:
    assert calibrated(1000, 0.0, per_token=-1e-6).seconds_per_token is None


def test_a_server_that_became_slower_is_followed() -> None:
    draw = random.Random(3)
    calibration = calibrated(2000, 0.01)
    for _ in range(8000):
        tokens = draw.choice(range(20, 400))
        calibration.observe(tokens, 0.01 + 3e-3 * tokens)
    assert calibration.seconds_per_token == pytest.approx(3e-3, rel=0.05)
    assert calibration.requests == pytest.approx(2000, rel=0.05)
