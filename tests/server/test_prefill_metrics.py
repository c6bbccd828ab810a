from prometheus_client import CollectorRegistry

from metacompress_server.prefill_metrics import Prefill, PrefillMetrics


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"metacompress_prefill_{name}", {"model_name": "m", **labels})


def test_everything_is_there_and_zero_at_the_start() -> None:
    registry = CollectorRegistry()
    PrefillMetrics("m", registry)
    for name in ("tokens_avoided_total", "seconds_avoided_estimate_total"):
        assert [value(registry, name, turn=turn) for turn in ("first", "later")] == [0.0, 0.0]
    assert value(registry, "seconds_per_token") == 0.0
    assert value(registry, "calibration_requests") == 0.0


def test_avoided_tokens_wait_until_the_cost_of_a_token_is_known() -> None:
    registry = CollectorRegistry()
    metrics = PrefillMetrics("m", registry)
    metrics.note(Prefill(40, 231, 0.5, tower_ran=True), later_turn=False)
    assert value(registry, "tokens_avoided_total", turn="first") == 231.0
    assert value(registry, "seconds_avoided_estimate_total", turn="first") == 0.0
    for tokens in range(100):
        metrics.note(Prefill(tokens, 1, tokens / 64, tower_ran=False), later_turn=True)
    assert value(registry, "seconds_per_token") == 1 / 64
    assert value(registry, "seconds_avoided_estimate_total", turn="first") == 231 / 64
    assert value(registry, "seconds_avoided_estimate_total", turn="later") == 100 / 64
    assert value(registry, "tokens_avoided_total", turn="later") == 100.0


def test_what_held_a_tower_run_or_has_no_time_is_no_calibration() -> None:
    registry = CollectorRegistry()
    metrics = PrefillMetrics("m", registry)
    for tokens in range(100):
        metrics.note(Prefill(tokens, 1, tokens / 64, tower_ran=True), later_turn=False)
        metrics.note(Prefill(tokens, 1, None, tower_ran=False), later_turn=False)
    assert value(registry, "calibration_requests") == 0.0
    assert value(registry, "seconds_per_token") == 0.0
