import numpy as np
import pytest

from metacompress_compressor.evaluation.bootstrap import Bootstrap


def scores(num_dialogues, share, turns=1, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.random((num_dialogues, turns)) < share).astype(float)


def test_independent_turns_give_the_binomial_interval():
    right = scores(400, 0.7)
    estimate = Bootstrap(400).mean(right)
    share = right.mean()
    half = 1.96 * (share * (1 - share) / 400) ** 0.5
    assert estimate.value == pytest.approx(share)
    assert estimate.low == pytest.approx(share - half, abs=0.005)
    assert estimate.high == pytest.approx(share + half, abs=0.005)


def test_turns_of_a_dialogue_belong_together():
    """Five turns that always agree are worth one: the interval is that of 100 answers, not 500."""
    right = np.repeat(scores(100, 0.5), 5, axis=1)
    together, apart = Bootstrap(100).mean(right), Bootstrap(500).mean(right.reshape(500, 1))
    assert together.value == apart.value
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_differences_are_paired():
    """One method is right wherever the other is, and in ten more of 400."""
    worse = scores(400, 0.5)
    better = worse.copy()
    better[np.flatnonzero(worse == 0)[:10]] = 1
    bootstrap = Bootstrap(400)
    lead = bootstrap.difference(better, worse)
    assert lead.value == pytest.approx(0.025)
    assert 0.005 < lead.low < 0.025 < lead.high < 0.045
    alone = bootstrap.mean(better)
    assert alone.high - alone.low > 2 * (lead.high - lead.low)


def test_ratio_to_itself_is_one():
    right = scores(50, 0.4, turns=3)
    estimate = Bootstrap(50).ratio(right, right)
    assert (estimate.low, estimate.value, estimate.high) == (1, 1, 1)


def test_missing_turns_do_not_count():
    right = np.array([[1.0, 0.0], [1.0, np.nan], [1.0, np.nan]])
    assert Bootstrap(3).mean(right).value == 0.75
    assert Bootstrap(3).mean(right[:, [1]]).value == 0


def test_what_is_not_defined_is_none_in_json():
    nothing = np.zeros((3, 1))
    assert Bootstrap(3).ratio(nothing, nothing).record() == {"value": None, "ci95": None}


def test_the_same_draws_every_time():
    right = scores(30, 0.5)
    assert Bootstrap(30).mean(right) == Bootstrap(30).mean(right)
