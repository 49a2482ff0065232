"""What is written, and that every query can be run."""

import json
from pathlib import Path

import numpy as np
import yaml

from dashboards.build import build
from dashboards.queries import DashboardQuery, fill_in, queries
from dashboards.registry import DASHBOARDS
from model.catalog import CATALOG
from model.catalog.metric import Metric
from model.identity import prometheus_labels
from model.labels import METRIC_NAME, Labels
from model.task import HealthStatus, TaskState
from promql.engine import Engine
from promql.result import Matrix, Vector
from storage.logquery import parse
from tests.fakes.store import MemoryStore
from tests.fakes.tasks import SHOP

NOW_MS = 1_767_225_600_000
STEP_MS = 15_000
VALUES = {
    ("task_state", "state"): [state.value for state in TaskState],
    ("task_health_status", "status"): [status.value for status in HealthStatus],
    ("log_lines_total", "level"): ["info", "error"],
    ("node_cpu_seconds_total", "mode"): ["idle", "user"],
    ("ALERTS", "alertstate"): ["firing"],
    ("taskscope_logdb_disk_bytes", "kind"): ["wal", "segments"],
}


def test_build_writes_dashboards_and_provisioning(tmp_path: Path) -> None:
    """Grafana finds dashboards, data sources with the uids that the dashboards use, and a provider."""
    written = build(tmp_path / "grafana")
    boards = [json.loads(path.read_text()) for path in written if path.suffix == ".json"]
    sources = yaml.safe_load(
        (tmp_path / "grafana/provisioning/datasources/taskscope.yaml").read_text()
    )
    provider = yaml.safe_load(
        (tmp_path / "grafana/provisioning/dashboards/taskscope.yaml").read_text()
    )
    uids = {source["uid"] for source in sources["datasources"]}
    chosen = {
        variable["current"]["value"]
        for board in boards
        for variable in board["templating"]["list"]
        if variable["type"] == "datasource"
    }

    assert len(boards) == len(DASHBOARDS)
    assert all(path.exists() for path in written)
    assert chosen == uids == {"taskscope-metrics", "taskscope-logs"}
    assert provider["providers"][0]["options"]["path"] == str(tmp_path / "grafana/dashboards")


def test_build_is_the_same_each_time(tmp_path: Path) -> None:
    """Nothing in the output depends on when or how often it was made."""
    first = {path: path.read_bytes() for path in build(tmp_path)}
    second = {path: path.read_bytes() for path in build(tmp_path)}

    assert first == second


def test_variables_are_filled_in() -> None:
    """Grafana's own variables have their usual values, all others match anything."""
    text = 'rate(a{x=~"$app", y=~"${task:regex}"}[$__rate_interval])'

    assert fill_in(text) == 'rate(a{x=~".+", y=~".+"}[1m])'
    assert [query for query in queries() if "$" in query.expr] == []


def _series(metric: Metric) -> list[Labels]:
    """Return series of one metric of the catalog as Taskscope emits them."""
    base = prometheus_labels(SHOP) if metric.per_task else {"job": "taskscope", "instance": "i"}
    if metric.name.startswith("node_") or metric.name.startswith("machine_"):
        base = {}
    sets = [base | dict.fromkeys(metric.labels, "x")]
    for (name, label), values in VALUES.items():
        if name == metric.name:
            sets = [one | {label: value} for one in sets for value in values]
    names = [metric.name]
    if metric.type == "histogram":
        names = [f"{metric.name}_bucket"]
        sets = [one | {"le": le} for one in sets for le in ("0.1", "+Inf")]
    return [Labels.of({**one, METRIC_NAME: name}) for one in sets for name in names]


def _store() -> MemoryStore:
    store = MemoryStore()
    labels = [series for metric in CATALOG.values() for series in _series(metric)]
    refs = store.series(labels)
    for i in range(12):
        at = np.full(len(refs), NOW_MS - (11 - i) * STEP_MS, dtype=np.int64)
        store.append_samples(refs, at, np.full(len(refs), float(i + 1)))
    return store


def test_every_query_finds_what_taskscope_emits() -> None:
    """Over series with the catalog's names and labels every query finds something, whatever it is about."""
    store, engine = _store(), Engine()

    def finds(query: DashboardQuery) -> bool:
        if query.kind == "instant":
            found = engine.instant(store, query.expr, NOW_MS).value
            return isinstance(found, Vector) and found.labels.size > 0
        end = NOW_MS
        result = engine.range(store, query.expr, end - 60_000, end, STEP_MS).value
        return isinstance(result, Matrix) and result.labels.size > 0

    ours = [query for query in queries() if query.kind != "logs"]
    # these look for one value only, which the series made here do not have
    picky = [query for query in ours if "== 1" in query.expr or "== 0" in query.expr]
    empty = [query.expr for query in ours if query not in picky and not finds(query)]

    assert empty == []
    assert len(picky) == 2


def test_log_queries_parse() -> None:
    """The queries of log panels are in Taskscope's language, with the variables filled in too."""
    found = [query for query in queries() if query.kind == "logs"]

    assert len(found) >= 3
    assert [parse(query.expr) for query in found]
