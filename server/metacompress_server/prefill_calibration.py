"""What one more prompt token costs in prefill, learned from requests that the server answers."""

import math

_MEMORY = 0.999
"""Weight of a request against the next one: half of all weight lies on the last 700."""

_FEWEST_REQUESTS = 30.0
_LARGEST_ERROR = 0.25


class PrefillCalibration:
    """Least squares of seconds over tokens, older requests weighing less.

    The line's slope is the cost of a token; what a prefill costs whatever its length is in the
    intercept. Welford's form of the sums, so nothing is lost to cancellation.
    """

    def __init__(self) -> None:
        self._weight = self._weight_squared = 0.0
        self._tokens = self._seconds = 0.0
        self._tt = self._ts = self._ss = 0.0

    def observe(self, tokens: int, seconds: float) -> None:
        """A request whose prefill had to compute so many tokens, and nothing else."""
        self._weight = self._weight * _MEMORY + 1.0
        self._weight_squared = self._weight_squared * _MEMORY**2 + 1.0
        off_tokens, off_seconds = tokens - self._tokens, seconds - self._seconds
        self._tokens += off_tokens / self._weight
        self._seconds += off_seconds / self._weight
        self._tt = self._tt * _MEMORY + off_tokens * (tokens - self._tokens)
        self._ts = self._ts * _MEMORY + off_tokens * (seconds - self._seconds)
        self._ss = self._ss * _MEMORY + off_seconds * (seconds - self._seconds)

    @property
    def requests(self) -> float:
        """How many equally weighted requests the line is worth."""
        return self._weight**2 / self._weight_squared if self._weight_squared else 0.0

    @property
    def seconds_per_token(self) -> float | None:
        """The slope; None before it is known to a quarter of itself (one standard error)."""
        if self.requests < _FEWEST_REQUESTS or self._tt <= 0.0:
            return None
        slope = self._ts / self._tt
        return slope if slope > 0.0 and self._error(slope) <= _LARGEST_ERROR * slope else None

    def _error(self, slope: float) -> float:
        """Standard error of the slope."""
        unexplained = max(0.0, self._ss - slope * self._ts) / self._weight
        return math.sqrt(unexplained * self._weight / self._tt / (self.requests - 2.0))
