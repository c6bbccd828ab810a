from prometheus_client import CollectorRegistry

from metacompress_server.cache_metrics import CacheMetrics
from metacompress_server.pictures.ledger import PictureTotals

SERIES = {
    "metacompress_image_cache_hits_total": ("layer", ("prefix", "encoder", "encoder_tier")),
    "metacompress_cached_prompt_tokens_total": ("layer", ("prefix", "host", "disk")),
    "metacompress_session_kv_evictions_total": ("reason", ("ttl", "lru", "capacity", "deleted")),
    "metacompress_tier_bytes": ("tier", ("host", "disk", "encoder_tier")),
}


def values(registry: CollectorRegistry) -> dict[str, dict[str, float | None]]:
    return {
        name: {
            one: registry.get_sample_value(name, {"model_name": "m", label: one}) for one in labels
        }
        for name, (label, labels) in SERIES.items()
    }


def test_everything_is_there_and_zero_at_the_start() -> None:
    registry = CollectorRegistry()
    CacheMetrics("m", registry)
    for name, (_, labels) in SERIES.items():
        assert values(registry)[name] == dict.fromkeys(labels, 0.0)


def test_every_hit_belongs_to_one_layer() -> None:
    registry = CollectorRegistry()
    metrics = CacheMetrics("m", registry)
    pictures = PictureTotals(pictures=9, reused=7, prefix_tokens=320, prefix_pictures=4)
    kv = {
        "host_hit_tokens": 96,
        "disk_hit_tokens": 32,
        "host_bytes": 1000,
        "evictions": {"capacity": 5, "ttl": 1},
    }
    for _ in range(2):
        metrics.update(pictures, kv, {"hits": 2, "bytes": 70})
    assert values(registry) == {
        "metacompress_image_cache_hits_total": {"prefix": 4, "encoder": 1, "encoder_tier": 2},
        "metacompress_cached_prompt_tokens_total": {"prefix": 192, "host": 96, "disk": 32},
        "metacompress_session_kv_evictions_total": {
            "ttl": 1,
            "lru": 0,
            "capacity": 5,
            "deleted": 0,
        },
        "metacompress_tier_bytes": {"host": 1000, "disk": 0, "encoder_tier": 70},
    }


def test_counters_never_go_back_and_bytes_do() -> None:
    registry = CollectorRegistry()
    metrics = CacheMetrics("m", registry)
    metrics.update(PictureTotals(prefix_tokens=64), {"host_bytes": 10}, {})
    metrics.update(PictureTotals(prefix_tokens=32), {"host_bytes": 0}, {})
    metrics.update(PictureTotals(prefix_tokens=96), {}, {})
    assert values(registry)["metacompress_cached_prompt_tokens_total"]["prefix"] == 96
    assert values(registry)["metacompress_tier_bytes"]["host"] == 0
