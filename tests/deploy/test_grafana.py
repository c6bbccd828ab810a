import json

import pytest
import yaml
from generate import PATH, build
from panels import ROWS


@pytest.fixture(scope="module")
def dashboard():
    return json.loads(PATH.read_text())


def test_the_committed_dashboard_is_what_the_script_makes():
    assert PATH.read_text() == build(), "run python deploy/grafana/generate.py"


def test_rows_are_those_of_the_design(dashboard):
    titles = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    assert titles == [
        *("Overview", "Compression", "Sessions"),
        *("KV and cache hits", "Latency", "Media intake"),
    ]


def test_panels_have_ids_of_their_own_and_do_not_overlap(dashboard):
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23


def test_every_panel_says_what_it_shows_and_asks_for_the_chosen_job(dashboard):
    for panel in (panel for panel in dashboard["panels"] if panel["type"] != "row"):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            assert 'job=~"$job"' in target["expr"], panel["title"]


def test_lines_of_a_panel_have_names_of_their_own():
    for panel in (panel for row in ROWS for panel in row.panels):
        legends = [query.legend for query in panel.queries]
        assert len(set(legends)) == len(legends), panel.title


def test_the_dashboards_data_source_is_the_one_that_is_provisioned(deploy, dashboard):
    folder = deploy / "grafana/provisioning"
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus"
    (variable,) = (v for v in dashboard["templating"]["list"] if v["type"] == "datasource")
    assert variable["query"] == source["type"]
