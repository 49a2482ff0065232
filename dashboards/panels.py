"""The kinds of panels there are. Each has a title, a description and a unit; sizes are in Grafana's grid of 24 columns."""

from collections.abc import Sequence
from typing import Any, Final

from grafanalib import core

from dashboards.grafana import (
    BLUE,
    COLUMNS,
    COUNT,
    ELASTICSEARCH,
    GREEN,
    GREY,
    LINES_PER_SECOND,
    PROMETHEUS,
    RED,
    YELLOW,
    Item,
    Link,
    Query,
    Step,
)
from dashboards.mend import Json
from storage.logquery import parse, to_lucene

LEVEL_COLORS: Final = {
    "trace": GREY,
    "debug": GREY,
    "info": GREEN,
    "warn": YELLOW,
    "error": RED,
    "fatal": "dark-red",
}
_REF_IDS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def timeseries(
    title: str,
    description: str,
    *queries: Query,
    unit: str,
    stacked: bool = False,
    bars: bool = False,
    maximum: float | None = None,
    colors: dict[str, str] | None = None,
    links: Sequence[Link] = (),
    width: int = 8,
    height: int = 8,
) -> Item:
    """Return a graph over time; ``colors`` are by name of the series."""
    panel = core.TimeSeries(
        title=title,
        description=description,
        dataSource=PROMETHEUS,
        targets=_targets(queries),
        unit=unit,
        drawStyle="bars" if bars else "line",
        fillOpacity=60 if bars or stacked else 10,
        lineWidth=1,
        showPoints="never",
        stacking={"mode": "normal", "group": "A"} if stacked else {},
        tooltipMode="multi",
        tooltipSort="desc",
        legendDisplayMode="list",
        overrides=[_colored(name, color) for name, color in (colors or {}).items()],
        # grafanalib takes whole numbers only for these two
        extraJson={"fieldConfig": {"defaults": {"min": 0, "max": maximum, "links": _links(links)}}},
    )
    return Item(panel, width, height)


def stat(
    title: str,
    description: str,
    query: Query,
    *,
    unit: str = COUNT,
    steps: Sequence[Step] = (Step(None, BLUE),),
) -> Item:
    """Return one large number."""
    panel = core.Stat(
        title=title,
        description=description,
        dataSource=PROMETHEUS,
        targets=_targets([query]),
        format=unit,
        reduceCalc="lastNotNull",
        graphMode="none" if query.instant else "area",
        colorMode="value",
        thresholds=[{"value": step.value, "color": step.color} for step in steps],
        extraJson={"fieldConfig": {"defaults": {"color": {"mode": "thresholds"}}}},
    )
    return Item(panel, width=4, height=4)


def timeline(
    title: str,
    description: str,
    *queries: Query,
    words: dict[int, tuple[str, str]],
) -> Item:
    """Return bands of states over time; ``words`` gives text and colour for each value."""
    options = {
        str(value): {"text": text, "color": color, "index": index}
        for index, (value, (text, color)) in enumerate(words.items())
    }
    panel = core.StateTimeline(
        title=title,
        description=description,
        dataSource=PROMETHEUS,
        targets=_targets(queries),
        mappings=[{"type": "value", "options": options}],
        showValue="auto",
        extraJson={"fieldConfig": {"defaults": {"unit": "none"}}},
    )
    return Item(panel, width=12, height=8)


def table(
    title: str,
    description: str,
    *columns: tuple[str, str, Query],
    by: Sequence[str],
    links: Sequence[Link] = (),
) -> Item:
    """Return a table with a row for each set of labels ``by`` and a column (name, unit, query) for each query.

    A column without a name is not shown: its query is there for its labels.
    """
    targets = _targets([query for _, _, query in columns], table=True)
    names = {f"Value #{t.refId}": c[0] for t, c in zip(targets, columns, strict=True)}
    order = {name: i for i, name in enumerate([*by, *names])}
    hidden = {value: True for value, name in names.items() if not name}
    shown = {value: name for value, name in names.items() if name}
    overrides = [_with_unit(name, unit) for name, unit, _ in columns if name]
    panel = core.Table(
        title=title,
        description=description,
        dataSource=PROMETHEUS,
        targets=targets,
        filterable=True,
        overrides=overrides,
        transformations=[
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": {"Time": True, **hidden},
                    "indexByName": order,
                    "renameByName": shown,
                },
            },
        ],
        extraJson={"fieldConfig": {"defaults": {"unit": "none", "links": _links(links)}}},
    )
    return Item(panel, width=COLUMNS, height=10)


def logs(title: str, description: str, query: str, *, height: int = 12) -> Item:
    """Return a list of log lines.

    Args:
        title: See ``timeseries``.
        description: See ``timeseries``.
        query: In Taskscope's log query language, with Grafana's variables as ``field:/${name:regex}/``.
        height: In rows.
    """
    metric = {"id": "1", "type": "logs", "settings": {"limit": "500"}}
    panel = core.Logs(
        title=title,
        description=description,
        dataSource=ELASTICSEARCH,
        targets=[_log_target(query, metric, [])],
        showTime=True,
        wrapLogMessages=True,
        enableLogDetails=True,
        extraJson={"fieldConfig": {"defaults": {"unit": "none"}}},
    )
    return Item(panel, COLUMNS, height)


def lines_by_level(title: str, description: str, selector: str, *, height: int = 8) -> Item:
    """Return log lines a second by level, as log shipping counted them."""
    rate = f"rate(log_lines_total{{{selector}}}[$__rate_interval])"
    return timeseries(
        title,
        description,
        Query(f"sum by (level) ({rate})", "{{level}}"),
        unit=LINES_PER_SECOND,
        stacked=True,
        colors=LEVEL_COLORS,
        width=12,
        height=height,
    )


def log_volume(title: str, description: str, query: str, *, width: int) -> Item:
    """Return counts of log lines by level over time, from the log store."""
    # ids must differ: with equal ones Grafana's backend falls over
    buckets = [
        {
            "id": "2",
            "type": "terms",
            "field": "log.level",
            "settings": {"size": "10", "order": "desc", "orderBy": "_key", "min_doc_count": "0"},
        },
        {
            "id": "3",
            "type": "date_histogram",
            "field": "@timestamp",
            "settings": {"interval": "auto", "min_doc_count": "0"},
        },
    ]
    panel = core.TimeSeries(
        title=title,
        description=description,
        dataSource=ELASTICSEARCH,
        targets=[_log_target(query, {"id": "1", "type": "count"}, buckets)],
        unit=COUNT,
        drawStyle="bars",
        fillOpacity=60,
        showPoints="never",
        stacking={"mode": "normal", "group": "A"},
        tooltipMode="multi",
        overrides=[_colored(name, color) for name, color in LEVEL_COLORS.items()],
        extraJson={"fieldConfig": {"defaults": {"min": 0}}},
    )
    return Item(panel, width, height=6)


def _targets(queries: Sequence[Query], *, table: bool = False) -> list[Any]:
    return [
        _Target(
            expr=query.expr,
            legendFormat=query.legend or "__auto",
            refId=ref_id,
            instant=query.instant,
            format="table" if table else "time_series",
            datasource=PROMETHEUS,
            sparse=query.sparse,
        )
        for ref_id, query in zip(_REF_IDS, queries, strict=False)
    ]


class _Target(core.Target):  # type: ignore[misc]  # grafanalib has no types
    """grafanalib's target, and why it may be empty (Grafana ignores what it does not know in a target)."""

    def __init__(self, *, sparse: str, **values: Any) -> None:
        super().__init__(**values)
        self.sparse = sparse

    def to_json_data(self) -> Json:
        data: Json = super().to_json_data()
        return {**data, "taskscope": {"sparse": self.sparse}} if self.sparse else data


def _log_target(query: str, metric: Json, buckets: list[Json]) -> Json:
    return {
        "refId": "A",
        "datasource": ELASTICSEARCH,
        "query": to_lucene(parse(query), keep_variables=True),
        "timeField": "@timestamp",
        "metrics": [metric],
        "bucketAggs": buckets,
        "taskscope": {"query": query},
    }


def _links(links: Sequence[Link]) -> list[Json]:
    return [{"title": link.title, "url": link.url, "targetBlank": False} for link in links]


def _colored(name: str, color: str) -> Json:
    return _override(name, "color", {"mode": "fixed", "fixedColor": color})


def _with_unit(name: str, unit: str) -> Json:
    return _override(name, "unit", unit)


def _override(name: str, key: str, value: Any) -> Json:
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key, "value": value}],
    }
