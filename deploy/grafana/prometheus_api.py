"""Asks a Prometheus for what a panel asks for, with the variables that Grafana would fill in."""

import math
from dataclasses import dataclass

import httpx

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Series:
    """Points of one line: times (s since 1970) and values; NaN where a ratio had no events."""

    labels: dict[str, str]
    times: list[float]
    values: list[float]

    @property
    def last(self) -> float:
        """The last value that is a number, else NaN."""
        return next((value for value in reversed(self.values) if math.isfinite(value)), math.nan)


def fill(expr: str, *, rate_interval: str = "1m", span: str = "5m") -> str:
    """A panel's expression for all jobs and models."""
    variables = {
        "$__rate_interval": rate_interval,
        "$__range": span,
        "$job": "metacompress",
        "$model": ".+",
    }
    for name, value in variables.items():
        expr = expr.replace(name, value)
    return expr


def instant(url: str, expr: str) -> list[Series]:
    """One point for each line, now.

    Raises:
        httpx.HTTPStatusError: Prometheus refuses the expression.
    """
    result = _get(url, "query", {"query": expr})
    return [_series(one["metric"], [one["value"]]) for one in result]


def over_time(url: str, expr: str, start: float, end: float, step: float) -> list[Series]:
    """Every line from `start` to `end`, one point each `step` seconds.

    Raises:
        httpx.HTTPStatusError: Prometheus refuses the expression.
    """
    parameters = {"query": expr, "start": start, "end": end, "step": step}
    return [_series(one["metric"], one["values"]) for one in _get(url, "query_range", parameters)]


def _get(url: str, what: str, parameters: dict[str, str | float]) -> list[dict]:
    response = httpx.get(f"{url}/api/v1/{what}", params=parameters, timeout=TIMEOUT_S)
    response.raise_for_status()
    return response.json()["data"]["result"]


def _series(labels: dict[str, str], points: list[tuple[float, str]]) -> Series:
    return Series(labels, [time for time, _ in points], [float(value) for _, value in points])
