"""What is asked of every dashboard before it leaves; the tests ask the same and Grafana's own schema besides."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec import Struct

from dashboards.grafana import render
from dashboards.mend import SCHEMA_VERSION, Json
from dashboards.queries import VARIABLE, fill_in, panels
from dashboards.registry import DASHBOARDS
from model.catalog import CATALOG, Metric
from model.errors import ParseError, Problem
from model.identity import PROMETHEUS_LABELS
from model.labels import METRIC_NAME
from promql import ast
from promql.parser import parse
from storage.logquery import parse as parse_log_query
from storage.logquery import to_lucene

_OVER_COUNTERS: Final = {"rate", "irate", "increase"}
_RANGES = re.compile(r"\[([^\]]*)\]")
_GOOD_RANGES: Final = {"$__rate_interval", "$__range"}
_PARTS: Final = ("_bucket", "_count", "_sum")
_ALWAYS_LABELS: Final = {METRIC_NAME, "job", "instance", "le", "quantile"}
_BUILT_IN = re.compile(r"__\w+")
_SOURCES: Final = {"prometheus": "${datasource}", "elasticsearch": "${logs}"}


def check() -> list[Problem]:
    """Return what is wrong with the dashboards, in their order."""
    return [problem for page in DASHBOARDS for problem in check_dashboard(render(page()))]


def check_dashboard(dashboard: Json) -> list[Problem]:
    """Return what is wrong with one dashboard."""
    file = f"{dashboard.get('uid') or 'dashboard'}.json"
    return [Problem(file, 0, 0, key, message) for key, message in _problems(dashboard)]


def _problems(dashboard: Json) -> Iterator[tuple[str, str]]:
    for key in ("uid", "title", "description"):
        if not dashboard.get(key):
            yield key, "is missing"
    if dashboard.get("schemaVersion", 0) < SCHEMA_VERSION:
        yield "schemaVersion", f"is below {SCHEMA_VERSION}; Grafana loses fields of older ones"
    variables = dashboard["templating"]["list"]
    known = {variable["name"] for variable in variables}
    for variable in variables:
        key = f"templating.{variable['name']}"
        if not variable.get("label"):
            yield key, "has no label"
        if variable["type"] == "query":
            yield from _source(key, variable)
            yield from _unknown_variables(key, variable["query"]["query"], known)
    everything = list(panels(dashboard["panels"]))
    yield from _grid(everything)
    for panel in everything:
        if panel["type"] != "row":
            yield from _panel(panel, known)


def _panel(panel: Json, known: set[str]) -> Iterator[tuple[str, str]]:
    name = panel.get("title") or f"panel {panel.get('id')}"
    for key in ("title", "description"):
        if not panel.get(key):
            yield name, f"has no {key}"
    if not panel["fieldConfig"]["defaults"].get("unit"):
        yield name, 'has no unit; "none" if there is none'
    yield from _source(name, panel)
    if not panel.get("targets"):
        yield name, "has no query"
    seen: set[str] = set()
    for target in panel.get("targets", ()):
        key = f"{name}.{target['refId']}"
        if target["refId"] in seen:
            yield key, "is there twice"
        seen.add(target["refId"])
        yield from _source(key, target)
        if "expr" in target:
            yield from _unknown_variables(key, target["expr"], known)
            yield from _expression(key, target["expr"])
        else:
            yield from _unknown_variables(key, target["query"], known)
            yield from _log_query(key, target)


def _expression(key: str, text: str) -> Iterator[tuple[str, str]]:
    try:
        expr = parse(fill_in(text))
    except ParseError as error:
        yield key, f"cannot be parsed: {error}"
        return
    for selector in _selectors(expr):
        metric = _catalogued(selector.name)
        if metric is None:
            yield (
                key,
                f"{selector.name or 'a selector without a name'} is not in the metric catalog",
            )
            continue
        labels = {matcher.name for matcher in selector.matchers}
        allowed = {*metric.labels, *_ALWAYS_LABELS, *(PROMETHEUS_LABELS if metric.per_task else ())}
        if unknown := sorted(labels - allowed):
            yield key, f"{metric.name} has no label {', '.join(unknown)}"
    calls = [node for node in _walk(expr) if isinstance(node, ast.Call)]
    if any(call.name in _OVER_COUNTERS for call in calls):
        bad = [found for found in _RANGES.findall(text) if found not in _GOOD_RANGES]
        if bad:
            yield key, f"[{bad[0]}] should be [$__rate_interval], which fits every zoom level"


def _log_query(key: str, target: Json) -> Iterator[tuple[str, str]]:
    query = target.get("taskscope", {}).get("query")
    if query is None:
        yield key, "does not say its query in Taskscope's language"
        return
    try:
        lucene = to_lucene(parse_log_query(query), keep_variables=True)
    except ParseError as error:
        yield key, f"cannot be parsed: {error}"
        return
    if lucene != target["query"]:
        yield key, f"its Lucene query says something else than {query!r}"


def _source(key: str, owner: Json) -> Iterator[tuple[str, str]]:
    ref = owner.get("datasource")
    if not isinstance(ref, dict) or _SOURCES.get(ref.get("type", "")) != ref.get("uid"):
        yield key, f"data source is {ref!r}; should be {{type, uid: ${{datasource}} or ${{logs}}}}"


def _unknown_variables(key: str, text: str, known: set[str]) -> Iterator[tuple[str, str]]:
    for braced, bare in VARIABLE.findall(text):
        name = braced or bare
        if name not in known and not _BUILT_IN.fullmatch(name):
            yield key, f"${name} is no variable of this dashboard"


def _grid(found: Sequence[Json]) -> Iterator[tuple[str, str]]:
    taken: dict[tuple[int, int], str] = {}
    ids: set[int] = set()
    for panel in found:
        name = panel.get("title") or f"panel {panel.get('id')}"
        if panel["id"] in ids:
            yield name, f"id {panel['id']} is there twice"
        ids.add(panel["id"])
        pos = panel.get("gridPos")
        if not isinstance(pos, dict):
            yield name, "has no place in the grid"
            continue
        cells = [
            (x, y)
            for x in range(pos["x"], pos["x"] + pos["w"])
            for y in range(pos["y"], pos["y"] + pos["h"])
        ]
        if pos["x"] + pos["w"] > 24 or any(cell in taken for cell in cells):
            other = next((taken[cell] for cell in cells if cell in taken), "the edge")
            yield name, f"overlaps {other}"
        taken.update(dict.fromkeys(cells, name))


def _catalogued(name: str) -> Metric | None:
    if name in CATALOG:
        return CATALOG[name]
    for part in _PARTS:
        metric = CATALOG.get(name.removesuffix(part))
        if metric is not None and metric.type == "histogram":
            return metric
    return None


def _selectors(expr: ast.Expr) -> list[ast.VectorSelector]:
    return [node for node in _walk(expr) if isinstance(node, ast.VectorSelector)]


def _walk(node: Any) -> Iterator[Any]:
    """Yield a node and all below it, whatever the classes of the tree are."""
    if isinstance(node, tuple | list):
        for one in node:
            yield from _walk(one)
    elif isinstance(node, Struct):
        yield node
        for name in node.__struct_fields__:
            yield from _walk(getattr(node, name))
