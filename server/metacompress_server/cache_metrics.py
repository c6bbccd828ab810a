"""Prometheus series of the caches: what was found in which layer, and what they hold.

The engine counts; the leading HTTP process brings the counters up to its totals. Two layers count
themselves in vLLM's own series: `vllm:mm_cache_hits` (processor) and `vllm:prefix_cache_hits`.
"""

from collections.abc import Mapping
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from .pictures.ledger import PictureTotals

_PICTURE_LAYERS = ("prefix", "encoder", "encoder_tier")
_TOKEN_LAYERS = ("prefix", "host", "disk")
_REASONS = ("ttl", "lru", "capacity", "deleted")
_TIERS = ("host", "disk", "encoder_tier")


class CacheMetrics:
    """The series of one server, all there and 0 from the start."""

    def __init__(self, model_name: str, registry: CollectorRegistry | None = None) -> None:
        registry = registry or REGISTRY
        pictures = Counter(
            "metacompress_image_cache_hits",
            "Pictures that needed no vision tower: their tokens were in the prefix (KV on the GPU, "
            "in host memory or on disk), in the engine's encoder cache, or in the tier below it.",
            ["model_name", "layer"],
            registry=registry,
        )
        tokens = Counter(
            "metacompress_cached_prompt_tokens",
            "Prompt tokens whose KV was found: on the GPU, in host memory, on disk.",
            ["model_name", "layer"],
            registry=registry,
        )
        evictions = Counter(
            "metacompress_session_kv_evictions",
            "Blocks of KV that the tiers below the GPU let go.",
            ["model_name", "reason"],
            registry=registry,
        )
        held = Gauge(
            "metacompress_tier_bytes",
            "What the tiers below the GPU hold: KV in host memory and on disk, and pictures.",
            ["model_name", "tier"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._pictures = {
            layer: _Follower(pictures.labels(model_name, layer)) for layer in _PICTURE_LAYERS
        }
        self._tokens = {
            layer: _Follower(tokens.labels(model_name, layer)) for layer in _TOKEN_LAYERS
        }
        self._evictions = {
            reason: _Follower(evictions.labels(model_name, reason)) for reason in _REASONS
        }
        self._held = {tier: held.labels(model_name, tier) for tier in _TIERS}

    def update(
        self, pictures: PictureTotals, kv: Mapping[str, Any], encoder: Mapping[str, Any]
    ) -> None:
        """Bring everything up to the engine's totals.

        Args:
            pictures: of the ledger.
            kv: `totals` of the answer to `SESSION_KV`; empty without a tier.
            encoder: `encoder` of the answer to `CACHE_STATS`; empty without a tier.
        """
        host, disk = kv.get("host_hit_tokens", 0), kv.get("disk_hit_tokens", 0)
        brought_back = encoder.get("hits", 0)
        in_prefix = pictures.prefix_pictures
        self._tokens["prefix"].follow(pictures.prefix_tokens - host - disk)
        self._tokens["host"].follow(host)
        self._tokens["disk"].follow(disk)
        self._pictures["prefix"].follow(in_prefix)
        self._pictures["encoder"].follow(pictures.reused - in_prefix - brought_back)
        self._pictures["encoder_tier"].follow(brought_back)
        for reason, follower in self._evictions.items():
            follower.follow(kv.get("evictions", {}).get(reason, 0))
        self._held["host"].set(kv.get("host_bytes", 0))
        self._held["disk"].set(kv.get("disk_bytes", 0))
        self._held["encoder_tier"].set(encoder.get("bytes", 0))


class _Follower:
    """A counter that follows a total; one that comes late, or lags behind another, is no news."""

    def __init__(self, counter: Any) -> None:
        self._counter = counter
        self._seen = 0

    def follow(self, total: int) -> None:
        self._counter.inc(max(0, total - self._seen))
        self._seen = max(self._seen, total)
