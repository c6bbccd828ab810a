"""Prometheus series of the front door: requests let in and refused, pictures taken and refused."""

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from metacompress_server.pictures.refusals import PICTURE_REFUSALS

REFUSALS = ("authentication", "overload", "tenant_limit", "draining", "closed_route", "bad_request")

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class FrontMetrics:
    """The series of one HTTP process, all there and 0 from the start. No label names a client."""

    def __init__(self, model_name: str, registry: CollectorRegistry = REGISTRY) -> None:
        names = ["model_name"]
        refused = Counter(
            "metacompress_requests_refused",
            "Requests that the front door did not let in.",
            [*names, "reason"],
            registry=registry,
        )
        rejected = Counter(
            "metacompress_image_rejections",
            "Pictures that were not taken, by OpenAI's code for it.",
            [*names, "reason"],
            registry=registry,
        )
        self._refused = {reason: refused.labels(model_name, reason) for reason in REFUSALS}
        self._rejected = {code: rejected.labels(model_name, code) for code in PICTURE_REFUSALS}
        self.image_bytes = Counter(
            "metacompress_image_bytes_received",
            "Bytes of encoded pictures, uploads and downloads included.",
            names,
            registry=registry,
        ).labels(model_name)
        self.decode_seconds = Histogram(
            "metacompress_image_decode_seconds",
            "Decoding of one picture, with the wait for a decoder.",
            names,
            buckets=_SECONDS,
            registry=registry,
        ).labels(model_name)
        lookups = Counter(
            "metacompress_decoded_picture_lookups",
            "Pictures that were known decoded, or had to be.",
            [*names, "result"],
            registry=registry,
        )
        self._decoded = {
            known: lookups.labels(model_name, result)
            for known, result in ((True, "hit"), (False, "miss"))
        }
        self.fetch_seconds = Histogram(
            "metacompress_image_fetch_seconds",
            "Download of one picture.",
            names,
            buckets=_SECONDS,
            registry=registry,
        ).labels(model_name)
        self.in_flight = Gauge(
            "metacompress_requests_in_flight",
            "Requests that were let in and are not answered yet, running and waiting.",
            names,
            registry=registry,
            multiprocess_mode="livesum",
        ).labels(model_name)
        self.limit = Gauge(
            "metacompress_requests_limit",
            "Requests that may be in flight; one more gets status 429.",
            names,
            registry=registry,
            multiprocess_mode="livesum",
        ).labels(model_name)
        self.draining = Gauge(
            "metacompress_draining",
            "1 while the server finishes its last answers.",
            names,
            registry=registry,
            multiprocess_mode="livemax",
        ).labels(model_name)

    def refuse(self, reason: str) -> None:
        """Count a request that was not let in."""
        self._refused[reason].inc()

    def decoded_lookup(self, known: bool) -> None:
        """Count a picture that was known decoded, or was not."""
        self._decoded[known].inc()

    def reject_image(self, reason: str) -> None:
        """Count a picture that was not taken."""
        self._rejected[reason].inc()


_current: FrontMetrics | None = None


def start_front_metrics(model_name: str) -> None:
    """Make this process's series, once the model's name is known and before the first request."""
    global _current
    if _current is None:
        _current = FrontMetrics(model_name)


def front_metrics() -> FrontMetrics:
    """This process's series; outside of a server they are kept, but shown nowhere."""
    return _current or _unseen


_unseen = FrontMetrics("", CollectorRegistry())
