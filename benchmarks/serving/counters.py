"""The server's own counters, read from its `/metrics`."""

import re
from collections.abc import Mapping

import httpx

COUNTERS = {
    "preemptions": "vllm:num_preemptions_total",
    "tower_runs": "metacompress_vision_tower_runs_total",
    "encode_s": "metacompress_image_encode_seconds_sum",
    "compress_s": "metacompress_compress_seconds_sum",
    "prefill_s": "vllm:request_prefill_time_seconds_sum",
}
"""What is followed, and the series that is summed over its labels for it."""

_LABEL = re.compile(r'(\w+)="([^"]*)"')


def parse(text: str) -> dict[str, float]:
    """The followed counters of a `/metrics` page; those that a server lacks are 0."""
    return {name: total(text, series) for name, series in COUNTERS.items()}


def total(text: str, series: str) -> float:
    """A series summed over its labels."""
    lines = [line for line in text.splitlines() if re.match(rf"{re.escape(series)}[{{ ]", line)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def labels(text: str, series: str) -> dict[str, str]:
    """The labels of a series' first line. Raises ValueError where there is none."""
    for line in text.splitlines():
        if line.startswith(f"{series}{{"):
            return dict(_LABEL.findall(line))
    raise ValueError(f"the server has no series {series}")


async def read_page(client: httpx.AsyncClient) -> str:
    """`/metrics` as it is now."""
    response = await client.get("/metrics")
    response.raise_for_status()
    return response.text


async def read_counters(client: httpx.AsyncClient) -> dict[str, float]:
    """The followed counters as they are now."""
    return parse(await read_page(client))


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """How far each counter moved."""
    return {name: after[name] - before[name] for name in after}
