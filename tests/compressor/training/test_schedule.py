"""Steps are functions of the seed and their number."""

import math

from metacompress_compressor.training.schedule import BatchSchedule, ramp_factor, rate_factor
from metacompress_compressor.training.settings import TrainSettings

LENGTHS = [10 + number % 7 for number in range(50)]


def schedule(seed=0, **settings):
    budgets = {"retention_ratios": (0.1, 0.25), **settings}
    return BatchSchedule(LENGTHS, TrainSettings(batch_size=8, seed=seed, **budgets))


def test_every_epoch_visits_every_dialogue_once_in_another_order():
    batches = schedule()
    assert batches.steps_per_epoch == 7
    epochs = [
        [index for step in range(7 * epoch, 7 * epoch + 7) for index in batches.indices(step)]
        for epoch in range(2)
    ]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(50))
    assert epochs[0] != epochs[1]


def test_a_step_does_not_depend_on_the_steps_before_it():
    walked = schedule()
    sequence = [(walked.indices(step), walked.retention_ratios(step)) for step in range(20)]
    jumped = schedule()
    assert (jumped.indices(17), jumped.retention_ratios(17)) == sequence[17]
    assert (jumped.indices(3), jumped.retention_ratios(3)) == sequence[3]
    assert schedule(seed=1).indices(0) != sequence[0][0]


def test_every_dialogue_draws_a_budget_or_every_batch_one():
    each = schedule(budgets_per="dialogue")
    drawn = [each.retention_ratios(step) for step in range(20)]
    assert all(len(ratios) == len(schedule().indices(step)) for step, ratios in enumerate(drawn))
    assert frozenset({0.1, 0.25}) in {frozenset(ratios) for ratios in drawn}
    by_batch = [schedule().retention_ratios(step) for step in range(20)]
    assert {frozenset(ratios) for ratios in by_batch} == {frozenset({0.1}), frozenset({0.25})}


def test_a_ratio_named_twice_is_drawn_twice_as_often():
    drawn = [schedule(retention_ratios=(0.1, 0.25, 0.1)).retention_ratios(s)[0] for s in range(600)]
    assert 0.6 < drawn.count(0.1) / len(drawn) < 0.73


def test_a_range_is_drawn_evenly_in_the_logarithm_beside_the_ratios():
    settings = {
        "retention_ratios": (0.1,),
        "retention_range": (0.05, 0.8),
        "budgets_per": "dialogue",
    }
    drawn = [ratio for step in range(300) for ratio in schedule(**settings).retention_ratios(step)]
    others = [ratio for ratio in drawn if ratio != 0.1]
    assert 0.45 < len(others) / len(drawn) < 0.55
    assert 0.05 < min(others) < 0.055
    assert 0.75 < max(others) < 0.8
    middle = math.sqrt(0.05 * 0.8)
    assert 0.45 < sum(ratio < middle for ratio in others) / len(others) < 0.55


def test_batches_hold_similar_lengths():
    spread = [
        max(LENGTHS[i] for i in batch) - min(LENGTHS[i] for i in batch)
        for batch in map(schedule().indices, range(7))
    ]
    assert sum(spread) < 7 * 3


def test_rate_rises_then_falls_to_zero():
    factors = [rate_factor(step, 100, 0.1) for step in range(101)]
    assert factors[0] == 0.1
    assert max(factors) == factors[9] == 1
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[100] < 1e-9
    assert rate_factor(0, 1, 0.03) == 1


def test_a_ramp_rises_between_its_shares_of_the_steps():
    assert [ramp_factor(step, 10, (0.5, 0.8)) for step in (0, 5, 8, 9)] == [0, 0, 1, 1]
    assert abs(ramp_factor(6, 10, (0.5, 0.8)) - 1 / 3) < 1e-9
    assert [ramp_factor(step, 10, (0.0, 0.0)) for step in (0, 9)] == [1, 1]
    assert [ramp_factor(step, 10, (0.5, 0.5)) for step in (4, 5)] == [0, 1]
