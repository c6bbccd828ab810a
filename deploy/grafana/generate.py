"""Writes the dashboard's JSON from panels.py: `python deploy/grafana/generate.py [--check]`."""

import argparse
import itertools
import sys
from pathlib import Path

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    prometheus,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model
from panels import HEIGHT, ROWS, Panel, Query

PATH = Path(__file__).with_name("dashboards") / "metacompress.json"
DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
REDUCERS = ["lastNotNull"]


def build() -> str:
    """The dashboard as JSON text."""
    builder = (
        dashboard.Dashboard("MetaCompress serving")
        .uid("metacompress")
        .description("What compressed pictures save: tokens, KV memory, time.")
        .tags(["metacompress", "vllm"])
        .time("now-30m", "now")
        .refresh("10s")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus"))
        .with_variable(_variable("job", "label_values(metacompress_build_info, job)"))
        .with_variable(
            _variable("model", 'label_values(metacompress_build_info{job=~"$job"}, model_name)')
        )
    )
    numbers = itertools.count(1)
    for row in ROWS:
        builder = builder.with_row(dashboard.Row(row.title).id(next(numbers)))
        for panel in row.panels:
            builder = builder.with_panel(_panel(panel, next(numbers)))
    return JSONEncoder(sort_keys=True, indent=2).encode(builder.build()) + "\n"


def _variable(name: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .datasource(DATASOURCE)
        .query(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(model.VariableOption(selected=True, text="All", value="$__all"))
    )


def _panel(panel: Panel, number: int) -> Builder[model.Panel]:
    builder = {"stat": _stat, "lines": _lines, "table": _table}[panel.kind](panel)
    builder = (
        builder.id(number)
        .title(panel.title)
        .description(panel.description)
        .unit(panel.unit)
        .datasource(DATASOURCE)
        .span(panel.width)
        .height(HEIGHT[panel.kind])
    )
    for query, letter in zip(panel.queries, "ABCDEFGH", strict=False):
        builder = builder.with_target(_query(query, letter, panel.kind))
    return builder


def _query(query: Query, letter: str, kind: str) -> prometheus.Dataquery:
    built = prometheus.Dataquery().ref_id(letter).expr(query.expr).legend_format(query.legend)
    if kind == "table":
        return built.instant().format("table")
    return built.range()


def _stat(panel: Panel) -> stat.Panel:
    return (
        stat.Panel()
        .reduce_options(common.ReduceDataOptions().calcs(REDUCERS))
        .graph_mode(options.BigValueGraphMode.AREA)
        .color_mode(options.BigValueColorMode.VALUE)
        .text_mode(
            options.BigValueTextMode.VALUE
            if len(panel.queries) == 1
            else options.BigValueTextMode.VALUE_AND_NAME
        )
    )


def _lines(panel: Panel) -> timeseries.Panel:
    mode = options.StackingMode.NORMAL if panel.stacked else options.StackingMode.NONE
    lines = timeseries.Panel() if panel.signed else timeseries.Panel().min(0)
    return (
        lines.fill_opacity(30 if panel.stacked else 8)
        .stacking(common.StackingConfig().mode(mode))
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(options.LegendDisplayMode.LIST)
            .placement(options.LegendPlacement.BOTTOM)
        )
    )


def _table(panel: Panel) -> table.Panel:
    return table.Panel()


def main() -> int:
    """Write the file, or with --check say whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; status 1 if it differs"
    )
    check = parser.parse_args().check
    text = build()
    if check:
        if PATH.read_text(encoding="utf-8") == text:
            return 0
        print(f"{PATH} is not what panels.py makes; run it without --check", file=sys.stderr)
        return 1
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
