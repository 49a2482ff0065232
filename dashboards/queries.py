"""Every query of every dashboard, ready to be run: Grafana's variables filled in."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec import Struct

from dashboards.grafana import render
from dashboards.mend import Json
from dashboards.registry import DASHBOARDS

_BUILT_IN: Final = {
    "__rate_interval": "1m",
    "__interval": "15s",
    "__range": "1h",
    "__range_s": "3600",
}
VARIABLE: Final = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")


class DashboardQuery(Struct, frozen=True):
    """One query.

    Attributes:
        dashboard: Uid of its dashboard.
        panel: Title of its panel; of its variable or annotation where it is of none.
        expr: PromQL without variables; for ``logs`` a query in Taskscope's log query language.
        kind: "range", "instant" or "logs".
        sparse: Why it may find nothing on a good day; "" if it always should find something.
    """

    dashboard: str
    panel: str
    expr: str
    kind: str
    sparse: str = ""


def queries() -> list[DashboardQuery]:
    """Return every query of every dashboard with all variables at All."""
    return [query for page in DASHBOARDS for query in of_dashboard(render(page()))]


def of_dashboard(dashboard: Json) -> Iterator[DashboardQuery]:
    """Yield the queries of one dashboard."""
    uid = dashboard["uid"]
    for panel in panels(dashboard["panels"]):
        for target in panel.get("targets", ()):
            ours = target.get("taskscope", {})
            if "expr" in target:
                kind = "instant" if target["instant"] else "range"
                expr = fill_in(target["expr"])
                yield DashboardQuery(uid, panel["title"], expr, kind, ours.get("sparse", ""))
            elif "query" in ours:
                yield DashboardQuery(uid, panel["title"], fill_in(ours["query"]), "logs")
    for annotation in dashboard["annotations"]["list"]:
        reason = "only while something happens"
        yield DashboardQuery(uid, annotation["name"], fill_in(annotation["expr"]), "range", reason)


def panels(found: Sequence[Any]) -> Iterator[Json]:
    """Yield all panels, those inside of rows too."""
    for panel in found:
        yield panel
        yield from panels(panel.get("panels", ()))


def fill_in(text: str, value: str = ".+") -> str:
    """Return a query with Grafana's own variables at usual values and all others at one value."""
    return VARIABLE.sub(lambda match: _BUILT_IN.get(match[1] or match[2], value), text)
