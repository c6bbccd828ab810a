"""Steps are functions of the seed and their number."""

from metacompress_compressor.training.schedule import BatchSchedule, rate_factor

LENGTHS = [10 + number % 7 for number in range(50)]


def schedule(seed=0):
    return BatchSchedule(LENGTHS, 8, (0.1, 0.25), seed)


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
    sequence = [(walked.indices(step), walked.retention_ratio(step)) for step in range(20)]
    jumped = schedule()
    assert (jumped.indices(17), jumped.retention_ratio(17)) == sequence[17]
    assert (jumped.indices(3), jumped.retention_ratio(3)) == sequence[3]
    assert schedule(seed=1).indices(0) != sequence[0][0]


def test_every_budget_is_drawn():
    assert {schedule().retention_ratio(step) for step in range(20)} == {0.1, 0.25}


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
