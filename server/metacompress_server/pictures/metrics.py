"""Prometheus counters of pictures and their tokens, next to vLLM's own series on /metrics."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from metacompress_server.engine_calls import COMPRESS, ENCODE
from metacompress_server.plan import CompressionPlan

from .ledger import PictureTotals

_RESULTS = ("compressed", "reused", "bypassed", "rejected")
_STAGES = ("original", "kept")
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class ImageMetrics:
    """The counters of one server, all there and 0 from the start.

    The engine counts in its own process; `update` brings the counters up to its totals.
    """

    def __init__(
        self,
        model_name: str,
        plan: CompressionPlan | None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._plan = plan
        self._model_name = model_name
        self._seen = PictureTotals()
        registry = registry or REGISTRY
        images = Counter(
            "metacompress_images",
            "Pictures in chat requests: encoded and compressed, found in a cache, encoded with all "
            "their tokens, or refused.",
            ["model_name", "result"],
            registry=registry,
        )
        tokens = Counter(
            "metacompress_image_tokens",
            "Visual tokens of all pictures in prompts: as the vision tower makes them, as kept.",
            ["model_name", "stage"],
            registry=registry,
        )
        runs = Counter(
            "metacompress_vision_tower_runs",
            "Pictures that the vision tower encoded.",
            ["model_name"],
            registry=registry,
        )
        self._info = Gauge(
            "metacompress_build_info",
            "1, with version and compressor as labels.",
            ["model_name", "version", "compressor", "ratio"],
            registry=registry,
            multiprocess_mode="max",
        )
        encode = Histogram(
            "metacompress_image_encode_seconds",
            "Vision tower and projector, for each batch of pictures.",
            ["model_name"],
            registry=registry,
            buckets=_SECONDS,
        )
        compress = Histogram(
            "metacompress_compress_seconds",
            "The mapping from all visual tokens to the kept ones, for each batch of pictures.",
            ["model_name"],
            registry=registry,
            buckets=_SECONDS,
        )
        self._seconds = {
            ENCODE: encode.labels(model_name),
            COMPRESS: compress.labels(model_name),
        }
        self._images = {result: images.labels(model_name, result) for result in _RESULTS}
        self._tokens = {stage: tokens.labels(model_name, stage) for stage in _STAGES}
        self._runs = runs.labels(model_name)
        self._set_info(plan, 1)

    def update(self, totals: PictureTotals, plan: CompressionPlan | None) -> None:
        """Bring the counters up to the engine's totals; totals older than the last are no news.

        Args:
            totals: since the engine started.
            plan: of the compressor in use.
        """
        self._show(plan)
        counts = zip(vars(totals).values(), vars(self._seen).values(), strict=True)
        if any(new < old for new, old in counts):
            return
        seen, self._seen = self._seen, totals
        runs = totals.tower_runs - seen.tower_runs
        kept = totals.kept_tokens - seen.kept_tokens
        pictures = totals.pictures - seen.pictures
        whole = totals.whole_runs - seen.whole_runs
        self._images["bypassed"].inc(whole)
        self._images["compressed"].inc(runs - whole)
        self._images["reused"].inc(totals.reused - seen.reused)
        self._runs.inc(runs)
        self._tokens["kept"].inc(kept)
        self._tokens["original"].inc(kept if plan is None else pictures * plan.num_visual_tokens)

    def observe(self, timings: Mapping[str, Sequence[float]]) -> None:
        """Note seconds of batches, by part."""
        for part, seconds in timings.items():
            for one in seconds:
                self._seconds[part].observe(one)

    def _show(self, plan: CompressionPlan | None) -> None:
        """After a reload another compressor has the 1."""
        if plan is not self._plan:
            self._set_info(self._plan, 0)
            self._set_info(plan, 1)
            self._plan = plan

    def _set_info(self, plan: CompressionPlan | None, value: int) -> None:
        self._info.labels(self._model_name, version("metacompress"), *_describe(plan)).set(value)

    def reject(self, num_images: int) -> None:
        """A refused request had this many pictures."""
        self._images["rejected"].inc(num_images)


def _describe(plan: CompressionPlan | None) -> tuple[str, str]:
    """Compressor digest (12 digits) and kept share m / n for labels."""
    if plan is None:
        return "none", "1.0"
    ratio = plan.num_compressed_tokens / plan.num_visual_tokens
    return plan.identity[:12], f"{ratio:.4f}"
