"""The checks: our dashboards pass, and each kind of mistake is found."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from dashboards.check import check, check_dashboard
from dashboards.grafana import Page, Query, Row, Variable, render
from dashboards.panels import logs, timeseries

GOOD = render(
    Page(
        "uid",
        "title",
        "text",
        [
            Row(
                "row",
                [
                    timeseries("graph", "d", Query('task_state{app=~"$app"}'), unit="short"),
                    logs("lines", "d", "app:/${app:regex}/"),
                ],
            )
        ],
        (Variable("app", "App", "label_values(task_info, app)"),),
    )
)


def test_all_dashboards_are_good() -> None:
    """Nothing is wrong with what we ship."""
    assert [str(problem) for problem in check()] == []


def test_good_dashboard_is_good() -> None:
    """The dashboard that the tests below spoil is good before they do."""
    assert check_dashboard(GOOD) == []


def _expr(text: str) -> Callable[[dict[str, Any]], None]:
    def change(board: dict[str, Any]) -> None:
        board["panels"][1]["targets"][0]["expr"] = text

    return change


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(board: dict[str, Any]) -> None:
        *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        owner: Any = board
        for part in above:
            owner = owner[part]
        owner[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        pytest.param(_expr("sum(task_state"), "graph.A", "cannot be parsed", id="syntax"),
        pytest.param(_expr("no_such_metric"), "graph.A", "not in the metric catalog", id="metric"),
        pytest.param(_expr('{job="x"}'), "graph.A", "without a name", id="nameless"),
        pytest.param(_expr('task_state{stat="x"}'), "graph.A", "no label stat", id="label"),
        pytest.param(
            _expr("rate(log_lines_total[5m])"), "graph.A", "$__rate_interval", id="fixed range"
        ),
        pytest.param(_expr('up{app="$ap"}'), "graph.A", "$ap is no variable", id="variable"),
        pytest.param(_set("uid", None), "uid", "is missing", id="uid"),
        pytest.param(_set("schemaVersion", 12), "schemaVersion", "below 39", id="schema"),
        pytest.param(_set("panels.1.title", ""), "panel 2", "has no title", id="title"),
        pytest.param(_set("panels.1.description", ""), "graph", "no description", id="description"),
        pytest.param(
            _set("panels.1.fieldConfig.defaults.unit", ""), "graph", "has no unit", id="unit"
        ),
        pytest.param(_set("panels.1.targets", []), "graph", "has no query", id="empty"),
        pytest.param(_set("panels.1.datasource", "Prometheus"), "graph", "data source", id="named"),
        pytest.param(
            _set("panels.1.datasource.uid", "abc"), "graph", "data source is", id="fixed uid"
        ),
        pytest.param(_set("panels.1.id", 3), "lines", "id 3 is there twice", id="ids"),
        pytest.param(_set("panels.2.gridPos.x", 4), "lines", "overlaps", id="overlap"),
        pytest.param(_set("panels.2.gridPos", None), "lines", "no place", id="no place"),
        pytest.param(
            _set("panels.2.targets.0.query", "x"), "lines.A", "says something else", id="lucene"
        ),
        pytest.param(
            _set("panels.2.targets.0.taskscope.query", "app:"), "lines.A", "needs a value", id="log"
        ),
        pytest.param(
            _set("templating.list.2.label", ""), "templating.app", "has no label", id="label-less"
        ),
    ],
)
def test_mistake_is_found(change: Callable[[dict[str, Any]], None], key: str, words: str) -> None:
    """Each mistake is answered with where it is and what is wrong."""
    board = copy.deepcopy(GOOD)
    if words == "overlaps":
        board["panels"][2]["gridPos"] = dict(board["panels"][1]["gridPos"])
    change(board)

    problems = check_dashboard(board)

    assert [(p.key, words in p.message) for p in problems] == [(key, True)], problems
    assert problems[0].file in {"uid.json", "dashboard.json"}
