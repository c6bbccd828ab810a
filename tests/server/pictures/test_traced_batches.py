from metacompress_server.pictures.traced_batches import Batch, TracedBatches


def batch(part: str, start: float, pictures: int) -> Batch:
    return part, start, 0.1, pictures


def test_batches_of_a_step_belong_to_its_requests() -> None:
    traced = TracedBatches()
    traced.scheduled(["a"], 1)
    traced.scheduled(["b", "c"], 3)
    first = [batch("encode", 1.0, 1), batch("compress", 1.1, 1)]
    second = [batch("encode", 2.0, 2), batch("compress", 2.1, 2), batch("encode", 2.2, 1)]
    traced.measured([*first, *second])
    traced.measured([batch("compress", 2.3, 1)])
    assert traced.take("a") == first
    assert traced.take("b") == traced.take("c") == [*second, batch("compress", 2.3, 1)]
    assert traced.take("a") == []


def test_a_batch_that_ends_late_still_goes_to_its_own_step() -> None:
    """On a GPU a batch is known to be over only after later steps were scheduled."""
    traced = TracedBatches()
    traced.scheduled(["a"], 1)
    traced.measured([])
    traced.scheduled(["b"], 1)
    traced.measured([batch("encode", 1.0, 1), batch("encode", 2.0, 1)])
    assert traced.take("a") == [batch("encode", 1.0, 1)]
    assert traced.take("b") == [batch("encode", 2.0, 1)]


def test_batches_that_no_step_asked_for_are_nobodys() -> None:
    traced = TracedBatches()
    traced.measured([batch("encode", 0.0, 8)])
    traced.scheduled(["a"], 1)
    assert traced.take("a") == []


def test_memory_is_bounded() -> None:
    traced = TracedBatches()
    for number in range(3000):
        traced.scheduled([f"t{number}"], 1)
        traced.measured([batch("encode", 0.0, 1), batch("compress", 0.0, 1)])
    assert traced.take("t0") == []
    assert len(traced.take("t2999")) == 2
