"""A real Prometheus watches a real server: every panel and every alert gets a right answer."""

import base64
import json
import math
import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from running_prometheus import RULES, prometheus
from running_server import RunningServer, Serve

from metacompress_compressor.embedded import pictures_dir
from metacompress_server.pictures.bypass import Bypass
from metacompress_server.pictures.sources import PictureSource
from metacompress_server.tenants import DEFAULT_TENANT, Tenant

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "deploy/grafana"))

import picture  # noqa: E402
import prometheus_api  # noqa: E402
from panels import ROWS, Query  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("prometheus") is None,
        reason="prometheus is missing: apt-get install prometheus",
    ),
]

MODEL = "metacompress-embedded"
FETCHED = "Fetching a picture"
"""The one panel without a number here: there is no host on the internet to fetch from."""

SLOW = "MetaCompressSlowLaterTurns"
"""The one alert that a crowded machine may have a reason for; it would fire after ten minutes."""

SOONER = "First token sooner by compression, measured"
"""The one panel whose values may be below zero."""

SHARE = 0.3
QUERIES = [(panel.title, query) for row in ROWS for panel in row.panels for query in panel.queries]
ALERTS = [
    rule
    for group in yaml.safe_load((RULES / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
RECORDED = [
    rule
    for group in yaml.safe_load((RULES / "recording.yml").read_text())["groups"]
    for rule in group["rules"]
]


@dataclass(frozen=True)
class Watched:
    """Prometheus' URL, the server's own /metrics, and what its answers said all together."""

    url: str
    exposed: str
    original: int
    kept: int
    turns: int


@pytest.fixture(scope="module")
def watched(serve_logged: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("monitoring")
    flags = ["--session-kv-gib", "0.1", "--encoder-cache-gib", "0.05"]
    flags += ["--bypass-share", str(SHARE)]
    with (
        serve_logged(["serve"], flags, small=False) as server,
        prometheus(server, folder) as url,
    ):
        _wait_for(url, 'up{job="metacompress"} == 1')
        _warm_up(server)
        _wait_for(url, 'http_requests_total{handler="/v1/chat/completions"}')
        usages = [usage for name in _sessions() for usage in _dialogue(server, name)]
        _misbehave(server)
        for name in (_sessions()[0], _sessions()[2]):
            httpx.delete(f"{server.url}/v1/sessions/{name}").raise_for_status()
        time.sleep(4)
        yield Watched(
            url,
            exposed=server.get("/metrics").text,
            original=sum(usage["image_tokens_original"] for usage in usages),
            kept=sum(usage["image_tokens"] for usage in usages),
            turns=len(usages),
        )


def _wait_for(url: str, expr: str) -> None:
    deadline = time.monotonic() + 30
    while not prometheus_api.instant(url, expr):
        assert time.monotonic() < deadline, f"Prometheus never saw {expr}"
        time.sleep(0.5)


def _warm_up(server: RunningServer) -> None:
    """Series that appear with their first event must be seen once before they can grow."""
    server.client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Hello"}], max_tokens=2
    )


def _sessions() -> list[str]:
    """Two that are compressed, and one that is drawn to keep all its tokens."""
    tenant, picture = Tenant(DEFAULT_TENANT), PictureSource("")
    names = [f"dialogue-{number}" for number in range(100)]
    drawn = [Bypass(SHARE).draws(tenant, name, picture) for name in names]
    compressed = [name for name, out in zip(names, drawn, strict=True) if not out]
    return [*compressed[:2], names[drawn.index(True)]]


def _dialogue(server: RunningServer, name: str) -> list[dict[str, int]]:
    """One of the sample dialogues as a session, its picture uploaded once. `usage` of each turn."""
    lines = (pictures_dir() / "dialogues.jsonl").read_text().splitlines()
    line = lines[_sessions().index(name) % len(lines)]
    record = json.loads(line)
    content = (pictures_dir() / record["image"]).read_bytes()
    upload = server.client.files.create(file=("a.png", content), purpose="vision")
    messages: list[Any] = []
    usages = []
    for turn in record["turns"]:
        parts: list[Any] = [{"type": "text", "text": turn["question"]}]
        if not messages:
            parts.insert(0, {"type": "image_url", "image_url": {"url": upload.id}})
        messages.append({"role": "user", "content": parts})
        answer = server.client.chat.completions.create(
            model=MODEL, messages=messages, extra_headers={"X-Session-ID": name}
        )
        messages.append({"role": "assistant", "content": answer.choices[0].message.content})
        assert answer.usage is not None
        usages.append(answer.usage.model_dump()["metacompress"])
        time.sleep(1)
    return usages


def _misbehave(server: RunningServer) -> None:
    """A picture that is none."""
    url = "data:image/png;base64," + base64.b64encode(b"no picture").decode()
    content = [{"type": "image_url", "image_url": {"url": url}}]
    body = {"model": MODEL, "messages": [{"role": "user", "content": content}]}
    assert server.post("/v1/chat/completions", json=body).status_code == httpx.codes.BAD_REQUEST


def _value(watched: Watched, expr: str) -> float:
    (series,) = prometheus_api.instant(watched.url, expr)
    return series.last


def test_every_metric_of_panels_rules_and_alerts_exists(watched):
    response = httpx.get(f"{watched.url}/api/v1/label/__name__/values").raise_for_status()
    exposed = set(response.json()["data"])
    expressions = [query.expr for _, query in QUERIES]
    expressions += [rule["expr"] for rule in [*ALERTS, *RECORDED]]
    used = {name for expr in expressions for name in _metrics(expr)}
    assert "metacompress_image_tokens_total" in used
    assert used - exposed == set()


def test_the_documentation_lists_every_metric_of_the_server(watched):
    rows = re.findall(
        r"^\| `(metacompress_\w+)` \| (\w+) \|([^|]*)\|",
        (ROOT / "docs/observability.md").read_text(),
        re.MULTILINE,
    )
    documented = {
        name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows
    }
    assert documented == {
        _name(family): (family.type, _labels(family))
        for family in text_string_to_metric_families(watched.exposed)
        if family.name.startswith("metacompress_") and not family.name.endswith("_created")
    }


def _name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def _labels(family: Metric) -> frozenset[str]:
    return frozenset(label for sample in family.samples for label in sample.labels) - {
        "model_name",
        "le",
    }


def _metrics(expr: str) -> set[str]:
    return set(
        re.findall(
            r"\b(?:metacompress_|vllm:|http_|up\b|model:|model_turn:|model_turn_pictures:|job:)[a-z0-9_:]*",
            expr,
        )
    ) - {"model_turn"}


@pytest.mark.parametrize(
    ("title", "query"), QUERIES, ids=[f"{title}: {query.legend}" for title, query in QUERIES]
)
def test_every_panel_has_something_to_show(watched, title: str, query: Query):
    answers = prometheus_api.instant(watched.url, prometheus_api.fill(query.expr))
    assert answers
    finite = [series for series in answers if math.isfinite(series.last)]
    assert bool(finite) == (title != FETCHED)
    assert title == SOONER or all(series.last >= 0 for series in finite)
    wanted = set(re.findall(r"\{\{(\w+)\}\}", query.legend))
    assert all(wanted <= set(series.labels) for series in answers)


@pytest.mark.parametrize("rule", ALERTS, ids=[rule["alert"] for rule in ALERTS])
def test_every_alert_has_a_value_and_none_has_a_reason(watched, rule):
    expr, found = re.subn(r" (==|>|<) (?=[0-9.]+$)", r" \1 bool ", rule["expr"])
    assert found == 1
    answers = prometheus_api.instant(watched.url, expr)
    assert answers
    allowed = {0.0, 1.0} if rule["alert"] == SLOW else {0.0}
    assert {series.last for series in answers} <= allowed


def test_no_alert_fires(watched):
    response = httpx.get(f"{watched.url}/api/v1/alerts").raise_for_status()
    assert "firing" not in {alert["state"] for alert in response.json()["data"]["alerts"]}


def test_what_the_dashboard_says_is_what_the_answers_said(watched):
    assert watched.turns == 12
    tokens = 'metacompress_image_tokens_total{stage="%s"}'
    assert _value(watched, tokens % "original") == watched.original
    assert _value(watched, tokens % "kept") == watched.kept
    assert _value(watched, "model:metacompress_image_tokens_kept:ratio_rate5m") == pytest.approx(
        watched.kept / watched.original
    )


def test_sessions_are_counted(watched):
    lookups = 'metacompress_session_lookups_total{result="%s"}'
    assert _value(watched, lookups % "hit") == 9
    assert _value(watched, lookups % "miss") == 3
    assert _value(watched, 'metacompress_session_evictions_total{reason="deleted"}') == 2
    assert _value(watched, "metacompress_sessions_active") == 1
    assert _value(watched, "metacompress_session_turns_sum") == 8
    assert _value(watched, "metacompress_image_uploads_avoided_total") >= 3
    assert _value(watched, "sum(metacompress_image_rejections_total)") == 1


def test_bypassed_dialogues_are_told_apart(watched):
    timed = "metacompress_turn_time_to_first_token_seconds"
    counts = {
        served: f'sum({timed}_count{{pictures="{served}"}})'
        for served in ("compressed", "bypassed")
    }
    assert {served: _value(watched, expr) for served, expr in counts.items()} == {
        "compressed": 8,
        "bypassed": 4,
    }
    means = {
        served: f'{timed}_sum{{turn="first", pictures="{served}"}} / ignoring(le) {timed}_count'
        for served in counts
    }
    bypassed, compressed = (_value(watched, means[served]) for served in ("bypassed", "compressed"))
    sooner = 'model_turn:metacompress_first_token_sooner_seconds:mean_rate30m{turn="first"}'
    assert _value(watched, sooner) == pytest.approx(bypassed - compressed, rel=0.05, abs=1e-3)
    assert _value(watched, 'metacompress_images_total{result="bypassed"}') == 1
    avoided = 'metacompress_prefill_tokens_avoided_total{turn="first"}'
    assert _value(watched, avoided) == 2 * (256 - 25)


def test_kv_avoided_is_that_of_the_tokens_left_out(watched):
    held = _value(watched, "metacompress_session_visual_kv_bytes")
    avoided = _value(watched, "metacompress_session_visual_kv_avoided_bytes")
    assert held > 0
    assert avoided / held == pytest.approx((256 - 25) / 25)


def test_the_variables_of_the_dashboard_have_values(watched):
    (series,) = prometheus_api.instant(watched.url, "metacompress_build_info == 1")
    assert series.labels["job"] == "metacompress"
    assert series.labels["model_name"] == MODEL


def test_every_panel_can_be_drawn_without_grafana(watched, tmp_path):
    figure = picture.draw(watched.url, time.time() - 60, time.time())
    words = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert "No data" not in words
    figure.savefig(tmp_path / "dashboard.png")
    titles = {axes.get_title(loc="left") for axes in figure.axes} - {""}
    assert titles == {panel.title for row in ROWS for panel in row.panels}
