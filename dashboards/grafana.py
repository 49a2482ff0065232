"""Our few words for panels over grafanalib's many: a thin layer, so that one file changes when Grafana does.

Every reference to a data source is ``{type, uid: "${variable}"}``. The panels are in ``panels.py``.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from grafanalib import core
from grafanalib._gen import DashboardEncoder
from msgspec import Struct

from dashboards.mend import Json, mend
from dashboards.provisioning import LOGS_UID, METRICS_UID

PROMETHEUS: Final = {"type": "prometheus", "uid": "${datasource}"}
ELASTICSEARCH: Final = {"type": "elasticsearch", "uid": "${logs}"}

BYTES: Final = "bytes"
BYTES_PER_SECOND: Final = "binBps"
SECONDS: Final = "s"
RATIO: Final = "percentunit"
COUNT: Final = "short"
PER_SECOND: Final = "ops"
LINES_PER_SECOND: Final = "suffix: lines/s"
CORES: Final = "suffix: cores"
AGO: Final = "dateTimeFromNow"

GREEN: Final = "green"
YELLOW: Final = "#EAB839"
RED: Final = "red"
GREY: Final = "#808080"
BLUE: Final = "blue"

COLUMNS: Final = 24


class Query(Struct, frozen=True):
    """One PromQL expression of a panel.

    Attributes:
        expr: With Grafana's variables.
        legend: Text of a series in the legend, ``{{label}}`` filled in.
        instant: Only the value at the end of the range.
        sparse: Why there may be no series on a good day; "" if there always are some.
    """

    expr: str
    legend: str = ""
    instant: bool = False
    sparse: str = ""


class Item(Struct, frozen=True):
    """A panel of grafanalib with its size in the grid."""

    panel: Any
    width: int
    height: int


class Row(Struct, frozen=True):
    """A row of panels under a title; panels flow from left to right."""

    title: str
    items: Sequence[Item]


class Step(Struct, frozen=True):
    """From this value on, this colour; None is the base."""

    value: float | None
    color: str


class Link(Struct, frozen=True):
    """A link on a panel or on its series."""

    title: str
    url: str


class Variable(Struct, frozen=True):
    """A template variable with the values of a label.

    Attributes:
        name: As in ``$name``.
        label: What people read.
        query: ``label_values(...)``.
        several: Whether several, and all, can be chosen.
    """

    name: str
    label: str
    query: str
    several: bool = True


class Page(Struct, frozen=True):
    """A whole dashboard.

    Attributes:
        uid: Stable; links and provisioning rely on it.
        title: What people read.
        description: One sentence.
        variables: Besides those for the data sources.
        rows: From top to bottom.
    """

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[Variable] = ()


def render(page: Page) -> Json:
    """Return the dashboard's JSON as Grafana wants it."""
    dashboard = core.Dashboard(
        title=page.title,
        uid=page.uid,
        description=page.description,
        tags=["taskscope"],
        time=core.Time("now-1h", "now"),
        templating=core.Templating(list=[*_data_sources(), *map(_template, page.variables)]),
        annotations=core.Annotations(list=[_firing_alerts()]),
        links=[
            core.DashboardLink(
                title="Taskscope",
                tags=["taskscope"],
                asDropdown=True,
                includeVars=True,
                keepTime=True,
                icon="external link",
                tooltip="The other dashboards",
            )
        ],
        panels=_laid_out(page.rows),
    )
    return mend(json.loads(json.dumps(dashboard.to_json_data(), cls=DashboardEncoder)))


def _data_sources() -> list[Any]:
    names = (
        ("datasource", "Metrics", "prometheus", "Taskscope", METRICS_UID),
        ("logs", "Logs", "elasticsearch", "Taskscope logs", LOGS_UID),
    )
    found = []
    for name, label, kind, text, uid in names:
        template = core.Template(name=name, label=label, query=kind, type="datasource", default=uid)
        template._current = {"selected": False, "text": text, "value": uid}  # noqa: SLF001  grafanalib has no way to give text and value apart
        found.append(template)
    return found


def _template(variable: Variable) -> Any:
    return core.Template(
        name=variable.name,
        label=variable.label,
        query={"query": variable.query, "refId": f"Variable-{variable.name}"},
        dataSource=PROMETHEUS,
        refresh=2,  # when the time range changes: tasks come and go
        includeAll=variable.several,
        multi=variable.several,
        allValue=".+" if variable.several else None,
        default="All" if variable.several else None,
    )


def _firing_alerts() -> Json:
    return {
        "name": "Alerts",
        "datasource": PROMETHEUS,
        "enable": True,
        "iconColor": RED,
        "expr": 'ALERTS{alertstate="firing"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{app}} {{task_name}}",
        "step": "60s",
    }


def _laid_out(rows: Sequence[Row]) -> list[Any]:
    panels: list[Any] = []
    y = 0
    for row in rows:
        panels.append(
            core.RowPanel(title=row.title, gridPos=core.GridPos(h=1, w=COLUMNS, x=0, y=y))
        )
        y += 1
        x = tallest = 0
        for item in row.items:
            if x + item.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            item.panel.gridPos = core.GridPos(h=item.height, w=item.width, x=x, y=y)
            panels.append(item.panel)
            x += item.width
            tallest = max(tallest, item.height)
        y += tallest
    for number, panel in enumerate(panels, start=1):
        panel.id = number
    return panels
