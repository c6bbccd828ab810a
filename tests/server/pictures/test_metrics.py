from prometheus_client import CollectorRegistry

from metacompress_server.pictures.ledger import PictureTotals
from metacompress_server.pictures.metrics import ImageMetrics
from metacompress_server.plan import Budget, CompressionPlan

SIX = Budget(0.1, 6, tuple(range(6)), 6, "2x3")
PLAN = CompressionPlan(64, False, {"auto": SIX}, "0123456789abcdef")


def images(registry: CollectorRegistry) -> dict[str, float | None]:
    return {
        result: registry.get_sample_value(
            "metacompress_images_total", {"model_name": "m", "result": result}
        )
        for result in ("compressed", "reused", "bypassed", "rejected")
    }


def tokens(registry: CollectorRegistry) -> tuple[float | None, float | None]:
    original, kept = (
        registry.get_sample_value(
            "metacompress_image_tokens_total", {"model_name": "m", "stage": stage}
        )
        for stage in ("original", "kept")
    )
    return original, kept


def test_everything_is_there_and_zero_at_the_start() -> None:
    registry = CollectorRegistry()
    ImageMetrics("m", PLAN, registry)
    assert images(registry) == dict.fromkeys(("compressed", "reused", "bypassed", "rejected"), 0.0)
    assert tokens(registry) == (0.0, 0.0)
    runs = registry.get_sample_value("metacompress_vision_tower_runs_total", {"model_name": "m"})
    assert runs == 0.0


def test_counters_follow_the_engines_totals() -> None:
    registry = CollectorRegistry()
    metrics = ImageMetrics("m", PLAN, registry)
    metrics.update(PictureTotals(pictures=2, kept_tokens=12, tower_runs=2, reused=0), PLAN)
    metrics.update(PictureTotals(pictures=3, kept_tokens=18, tower_runs=2, reused=1), PLAN)
    metrics.update(PictureTotals(pictures=3, kept_tokens=18, tower_runs=2, reused=1), PLAN)
    metrics.reject(4)
    counts = {"compressed": 2.0, "reused": 1.0, "bypassed": 0.0, "rejected": 4.0}
    assert images(registry) == counts
    assert tokens(registry) == (192.0, 18.0)


def test_totals_that_arrive_late_change_nothing() -> None:
    registry = CollectorRegistry()
    metrics = ImageMetrics("m", PLAN, registry)
    metrics.update(PictureTotals(pictures=3, kept_tokens=18, tower_runs=2, reused=1), PLAN)
    metrics.update(PictureTotals(pictures=2, kept_tokens=12, tower_runs=2, reused=0), PLAN)
    assert tokens(registry) == (192.0, 18.0)
    assert images(registry)["reused"] == 1.0


def test_without_a_compressor_pictures_are_bypassed_and_nothing_is_saved() -> None:
    registry = CollectorRegistry()
    metrics = ImageMetrics("m", None, registry)
    metrics.update(PictureTotals(pictures=1, kept_tokens=64, tower_runs=1, whole_runs=1), None)
    assert images(registry)["bypassed"] == 1.0
    assert tokens(registry) == (64.0, 64.0)


def test_a_picture_served_whole_beside_compressed_ones_is_bypassed() -> None:
    registry = CollectorRegistry()
    metrics = ImageMetrics("m", PLAN, registry)
    metrics.update(PictureTotals(pictures=3, kept_tokens=76, tower_runs=3, whole_runs=1), PLAN)
    counts = {"compressed": 2.0, "reused": 0.0, "bypassed": 1.0, "rejected": 0.0}
    assert images(registry) == counts
    assert tokens(registry) == (192.0, 76.0)


def test_build_info_names_version_compressor_and_ratio() -> None:
    registry = CollectorRegistry()
    ImageMetrics("m", PLAN, registry)
    (family,) = [f for f in registry.collect() if f.name == "metacompress_build_info"]
    (sample,) = family.samples
    assert sample.value == 1.0
    assert sample.labels["compressor"] == "0123456789ab"
    assert sample.labels["ratio"] == "0.0938"


def test_after_a_reload_another_compressor_has_the_one() -> None:
    registry = CollectorRegistry()
    metrics = ImageMetrics("m", PLAN, registry)
    other = CompressionPlan(64, False, {"auto": SIX}, "fedcba9876543210")
    metrics.update(PictureTotals(), other)
    (family,) = [f for f in registry.collect() if f.name == "metacompress_build_info"]
    values = {sample.labels["compressor"]: sample.value for sample in family.samples}
    assert values == {"0123456789ab": 0.0, "fedcba987654": 1.0}


def test_times_of_batches_are_histograms() -> None:
    registry = CollectorRegistry()
    metrics = ImageMetrics("m", PLAN, registry)
    metrics.observe({"encode": [0.5, 0.25], "compress": [0.001]})
    metrics.observe({})
    sums = [
        registry.get_sample_value(f"metacompress_{name}_seconds_sum", {"model_name": "m"})
        for name in ("image_encode", "compress")
    ]
    assert sums == [0.75, 0.001]
