"""A real Prometheus and Taskscope's server have the same samples and rules and are asked the same."""

import json
import math
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from model.labels import METRIC_NAME, Labels
from tests.promql.histograms import Hist
from tests.web.peers import Answer, Peer, Written, prometheus, taskscope

pytestmark = [pytest.mark.peer, pytest.mark.slow]

MINUTE_MS = 60_000
NOW_MS = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS
NOW = NOW_MS // 1000
SPECIAL = (
    0.0,
    -0.0,
    0.1,
    1e-7,
    1.5e-6,
    1e15,
    123456789012345680000.0,
    1e21,
    5e-324,
    1.7976931348623157e308,
    math.nan,
    math.inf,
    -math.inf,
)
RULES = """
groups:
- name: one
  interval: 1s
  rules:
  - record: app:rate
    expr: sum by(app)(rate(requests_total[5m]))
    labels: {team: "a<b"}
  - alert: High
    expr: gauge > 1e15
    keep_firing_for: 1m
    labels: {severity: page}
    annotations: {summary: "v {{ $value }}"}
  - alert: Quiet
    expr: gauge == 17
    for: 90s
- name: two
  interval: 1s
  rules:
  - record: bad
    expr: label_replace(requests_total, "app", "x", "", "")
"""
MATCH = "match[]"
# a request that has both is taken floats first
OUT_OF_ORDER = "storage: {tsdb: {out_of_order_time_window: 1h}}\n"


def histograms(growth: float) -> dict[str, Hist]:
    """Return histograms of every kind, by the value of a label."""
    return {
        "both": Hist(
            schema=1,
            count=12 * growth,
            sum=18.4,
            zero_count=2 * growth,
            zero_threshold=0.001,
            positive={0: 1 * growth, 1: 2 * growth, 4: 1.5 * growth},
            negative={0: 3 * growth, 2: 2.5 * growth},
        ),
        "wide zero": Hist(
            schema=0,
            count=6 * growth,
            sum=math.inf,
            zero_count=growth,
            zero_threshold=0.75,
            positive={0: 2 * growth, 1: growth},
            negative={0: 2 * growth},
        ),
        "custom": Hist(
            schema=-53,
            count=10 * growth,
            sum=5.5,
            positive={0: 2 * growth, 1: 3 * growth, 3: 5 * growth},
            bounds=(-1.0, 0.5, 2.0),
        ),
        "empty": Hist(),
    }


def series() -> dict[Labels, Written]:
    """Return counters, values that are hard to print, names beyond ASCII, histograms, exemplars."""
    every = range(20, -1, -1)
    found: dict[Labels, Written] = {}
    for kind in histograms(1):
        rising = [(NOW_MS - MINUTE_MS * k, histograms(21 - k)[kind]) for k in every]
        found[Labels.of({METRIC_NAME: "hist", "kind": kind})] = Written(histograms=rising)
    mixed = [(NOW_MS - MINUTE_MS * k, histograms(21 - k)["both"]) for k in every if k % 2]
    floats = [(NOW_MS - MINUTE_MS * k, float(k)) for k in every if not k % 2]
    found[Labels.of({METRIC_NAME: "mixed"})] = Written(points=floats, histograms=mixed)
    exemplars = [
        (NOW_MS - 60_000, 0.25, Labels.of({"trace_id": "a1"})),
        (NOW_MS - 500, 1e-7, Labels.of({"trace_id": "b2", "span_id": "ü"})),
    ]
    found[Labels.of({METRIC_NAME: "traced_total"})] = Written([(NOW_MS, 1.0)], (), exemplars)
    for number, app in enumerate(("shop", "billing", 'a"b\\c<d>&', "ünï"), 1):
        for task in "ab":
            labels = {METRIC_NAME: "requests_total", "app": app, "task": task}
            points = [(NOW_MS - MINUTE_MS * k, float((20 - k) * number * 4)) for k in every]
            found[Labels.of(labels)] = Written(points)
    for number, value in enumerate(SPECIAL):
        labels = {METRIC_NAME: "gauge", "i": f"{number:02d}"}
        found[Labels.of(labels)] = Written([(NOW_MS - 30_000, value), (NOW_MS, value)])
    found[Labels.of({METRIC_NAME: "utf.8 name", "dotted.label": "x"})] = Written([(NOW_MS, 1.0)])
    for bound, growth in (("0.1", 3), ("1", 7), ("+Inf", 9)):
        labels = {METRIC_NAME: "d_bucket", "le": bound}
        points = [(NOW_MS - MINUTE_MS * k, float(growth * (20 - k))) for k in every]
        found[Labels.of(labels)] = Written(points)
    return found


def recent() -> dict[Labels, Written]:
    """Return what rules ask for from NOW until the present, which may be long after it.

    Minute by minute: a chunk that spans a window without a sample in it counts as a series touched for
    Prometheus, and not for us.
    """
    now_ms = time.time_ns() // 1_000_000
    minutes = range(NOW_MS + MINUTE_MS, now_ms, MINUTE_MS)
    return {
        labels: Written([(at, written.points[-1][1]) for at in minutes])
        for labels, written in series().items()
        if minutes and labels.get(METRIC_NAME) in ("gauge", "requests_total")
    }


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    """Return Prometheus and ours; the rules have been evaluated."""
    folder: Path = tmp_path_factory.mktemp("peers")
    rules = folder / "rules.yml"
    rules.write_text(RULES)
    config = f"alerting:\n  shipped_rules: false\n  rule_files: [{rules}]\n"
    with (
        prometheus(folder, config=f"rule_files: [{rules}]\n{OUT_OF_ORDER}") as theirs,
        taskscope(folder, config=config) as ours,
    ):
        since = recent()
        for peer in (theirs, ours):
            peer.write(series())
            peer.write(since)
        for peer in (theirs, ours):
            peer.wait(partial(is_settled, peer))
        yield theirs, ours


def is_settled(peer: Peer) -> bool:
    """Tell whether alerts fire and every rule has been evaluated."""
    groups = peer.ask("rules").json()["data"]["groups"]
    healths = {rule["health"] for group in groups for rule in group["rules"]}
    return healths == {"ok", "err"} and len(peer.ask("alerts").json()["data"]["alerts"]) == 4


def parsed(answer: Answer) -> Any:
    """Return the body with objects as lists of pairs, so that their order counts."""
    return json.loads(answer.text, object_pairs_hook=list) if answer.text else None


INSTANT = [
    "1",
    "1.5e-7",
    '"a<b>"',
    "time()",
    "vector(-0.5)",
    "gauge",
    "gauge[1m]",
    "requests_total",
    "requests_total[2m]",
    "{'utf.8 name'}",
    "nothing",
    "requests_total @ 0",
    "-requests_total",
    "sum by (app) (rate(requests_total[5m]))",
    "topk(2, requests_total{task='a'})",
    "sort_desc(requests_total)",
    "absent(nothing{a='b'})",
    "rate(gauge[5m])",
    "histogram_quantile(0.9, rate(d_bucket[5m]))",
    "histogram_quantile(2, rate(d_bucket[5m]))",
    "hist",
    "hist[3m]",
    "mixed",
    "mixed[5m]",
    "rate(hist[5m])",
    "sum(hist)",
    "histogram_count(hist)",
    'hist{kind="both"} * 1e9',
]
RANGE = [
    "1",
    "time()",
    "gauge",
    "requests_total",
    "nothing",
    "sum(requests_total)",
    "avg(gauge)",
    "hist",
    "mixed",
]
BAD_QUERY: list[dict[str, Any]] = [
    {},
    {"query": ""},
    {"query": "sum("},
    {"query": "foo(1)"},
    {"query": "rate(x)"},
    {"query": "{}"},
    {"query": "up\n+\n+sum"},
    {"query": "1", "time": "x"},
    {"query": "1", "timeout": "x"},
    {"query": "1", "timeout": "0"},
    {"query": "1", "timeout": "-1.5s"},
    {"query": "1", "timeout": "-90"},
    {"query": "1", "limit": "x"},
    {"query": "1", "limit": "-1"},
    {"query": "1", "limit": "99999999999999999999"},
    {"query": "1", "lookback_delta": "x"},
    {"query": "requests_total + on() requests_total", "time": NOW},
    {"query": "label_replace(requests_total, 'a', 'b', 'c', '(')", "time": NOW},
]
BAD_RANGE: list[dict[str, Any]] = [
    {"query": "1"},
    {"query": "1", "start": "5"},
    {"query": "1", "start": "5", "end": "1", "step": "1"},
    {"query": "1", "start": "5", "end": "10"},
    {"query": "1", "start": "5", "end": "10", "step": "0"},
    {"query": "1", "start": "5", "end": "10", "step": "1e300"},
    {"query": "1", "start": "0", "end": "11001", "step": "1"},
    {"query": "up[1m]", "start": "0", "end": "1", "step": "1"},
    {"query": "'a'", "start": "0", "end": "1", "step": "1"},
]
SERIES: list[dict[str, Any]] = [
    {},
    {MATCH: "gauge"},
    {MATCH: ["gauge", "{task='a'}"]},
    {MATCH: "gauge", "limit": 2},
    {MATCH: "gauge", "start": 5, "end": 6},
    {MATCH: "{"},
    {MATCH: "{}"},
    {MATCH: "{a=~'.*'}"},
    {MATCH: "up[5m]"},
    {MATCH: "sum(x)"},
    {MATCH: "gauge offset 5m"},
    {MATCH: "x y"},
    {MATCH: "gauge", "start": "x"},
]
LABELS: list[dict[str, Any]] = [
    {MATCH: "gauge"},
    {MATCH: ["gauge", "d_bucket"]},
    {MATCH: "gauge", "end": 5},
    {MATCH: "{}"},
    {MATCH: "{"},
    {"limit": "x"},
    {"start": "x"},
]
LABEL_NAMES = ["app", "dotted.label", "U__dotted_2e_label", "U__a__b", "U__bad_zz_", "nothing"]
REST: list[tuple[str, dict[str, Any]]] = [
    ("query", {"query": "1", "time": "2015-07-01T20:10:51.781Z"}),
    ("query", {"query": "1", "time": "-5.5"}),
    ("query", {"query": "1", "time": "1e3"}),
    ("query", {"query": "gauge", "lookback_delta": "1s", "time": NOW + 5}),
    ("query", {"query": "requests_total", "limit": 2, "time": NOW}),
    ("query_range", {"query": "gauge", "limit": 2, "start": NOW, "end": NOW, "step": 1}),
    ("label/__name__/values", {MATCH: ["gauge", "{task='a'}"]}),
    ("query_exemplars", {}),
    ("query_exemplars", {"query": "1"}),
    ("query_exemplars", {"query": "gauge"}),
    ("query_exemplars", {"query": "rate(traced_total[1m]) + up"}),
    ("query_exemplars", {"query": "traced_total", "start": NOW - 30, "end": NOW}),
    ("query_exemplars", {"query": "gauge", "start": 5, "end": 1}),
    ("query_exemplars", {"query": "gauge", "start": "x"}),
    ("query_exemplars", {"query": "sum("}),
    ("metadata", {}),
    ("metadata", {"limit": "x"}),
    ("metadata", {"limit_per_metric": "x"}),
    ("format_query", {"query": "sum by(a)(rate(x{b!~'c'}[5m]))/on(x) group_left foo @ end()"}),
    ("format_query", {"query": "("}),
    ("format_query", {}),
    ("parse_query", {"query": "sum by(a)(rate(x{b!~'c'}[5m]))/on(x) group_left foo @ end()"}),
    ("parse_query", {"query": "("}),
    ("rules", {"type": "x"}),
    ("rules", {"exclude_alerts": "x"}),
    ("rules", {"file[]": "x"}),
    ("rules", {MATCH: "{"}),
    ("rules", {"group_limit": "x"}),
    ("rules", {"group_limit": "0"}),
    ("rules", {"group_next_token": "x"}),
    ("rules", {"group_limit": 1, "group_next_token": "x"}),
    ("targets", {}),
    ("targets", {"state": "active"}),
    ("targets", {"state": "dropped"}),
    ("targets/metadata", {}),
    ("targets/metadata", {"limit": "x"}),
    ("targets/metadata", {"match_target": "{"}),
    ("scrape_pools", {}),
    ("status/tsdb", {"limit": "x"}),
    ("status/tsdb", {"limit": "0"}),
    ("status/tsdb", {"limit": "10001"}),
]
SAME = [
    *(("query", {"query": text, "time": NOW}) for text in INSTANT),
    *(
        ("query_range", {"query": text, "start": NOW - 300, "end": NOW, "step": step})
        for text in RANGE
        for step in ("60", "7.5s")
    ),
    *(("query", parameters) for parameters in BAD_QUERY),
    *(("query_range", parameters) for parameters in BAD_RANGE),
    *(("series", parameters) for parameters in SERIES),
    *(("labels", parameters) for parameters in LABELS),
    *(
        (f"label/{name}/values", parameters)
        for name in LABEL_NAMES
        for parameters in ({}, {MATCH: "{task=~'.+'}"}, {MATCH: "{"})
    ),
    *REST,
]


@pytest.mark.parametrize(("path", "parameters"), SAME)
def test_answer_is_the_same(peers: tuple[Peer, Peer], path: str, parameters: Any) -> None:
    """Status, every field, their order, and each number's text."""
    theirs, ours = (peer.ask(path, parameters) for peer in peers)

    assert (ours.status, parsed(ours)) == (theirs.status, parsed(theirs))


@pytest.mark.parametrize(
    "path", ["query", "query_range", "series", "labels", "query_exemplars", "format_query"]
)
def test_form_is_answered_as_a_query_string_is(peers: tuple[Peer, Peer], path: str) -> None:
    """POST, as Grafana sends it."""
    form = {"query": "gauge", MATCH: "gauge", "start": NOW - 60, "end": NOW, "time": NOW, "step": 5}
    theirs, ours = (peer.ask(path, form, method="POST") for peer in peers)

    assert ours.status == 200
    assert parsed(ours) == parsed(theirs)


@pytest.mark.parametrize("query", ["count_values('v', gauge)", "gauge > 0", "info(gauge)"])
def test_vector_without_an_order_is_the_same_in_any(peers: tuple[Peer, Peer], query: str) -> None:
    """Prometheus's own order comes from a hash here."""
    theirs, ours = (peer.ask("query", {"query": query, "time": NOW}) for peer in peers)

    def rows(answer: Answer) -> list[str]:
        return sorted(map(json.dumps, answer.json()["data"]["result"]))

    assert rows(ours) == rows(theirs)


RULE_QUERIES: list[dict[str, Any]] = [
    {},
    {"type": "alert"},
    {"type": "Record"},
    {"exclude_alerts": "true"},
    {"rule_name[]": ["High", "bad"]},
    {"rule_group[]": "two"},
    {MATCH: '{severity="page"}'},
    {"group_limit": 1},
    {"group_limit": 2},
]


def without_times(found: Any) -> Any:
    """Return rules as pairs, with what differs between two evaluations left out."""
    if isinstance(found, list) and found and isinstance(found[0], tuple):
        out: list[tuple[str, Any]] = []
        for name, value in found:
            if name in ("lastEvaluation", "activeAt", "evaluationTime"):
                out.append((name, type(value) in (int, float) or str(value)[:4] > "2000"))
            elif name == "alerts" and value:
                out.append((name, sorted(map(json.dumps, without_times(value)))))
            else:
                out.append((name, without_times(value)))
        return out
    if isinstance(found, list):
        return [without_times(one) for one in found]
    return found


@pytest.mark.parametrize("parameters", RULE_QUERIES)
def test_rules_are_the_same(peers: tuple[Peer, Peer], parameters: dict[str, Any]) -> None:
    """Groups, rules, alerts and the token of the next page; only times differ."""

    def shown(peer: Peer) -> Any:
        text = peer.ask("rules", parameters).text
        return without_times(json.loads(text, object_pairs_hook=lambda pairs: pairs))

    theirs, ours = map(shown, peers)

    assert ours == theirs


def test_next_page_of_rules_begins_where_the_token_says(peers: tuple[Peer, Peer]) -> None:
    """A client that pages through them sees every group once."""
    for peer in peers:
        first = peer.ask("rules", {"group_limit": 1}).json()["data"]
        token = first["groupNextToken"]
        second = peer.ask("rules", {"group_limit": 1, "group_next_token": token}).json()["data"]

        assert [group["name"] for group in first["groups"]] == ["one"]
        assert [group["name"] for group in second["groups"]] == ["two"]
        assert "groupNextToken" not in second


def shape(value: Any) -> Any:
    """Return what a Go struct would have to have to take a value."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return (
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value)
    )


@pytest.mark.parametrize("path", ["buildinfo", "runtimeinfo", "config", "tsdb"])
def test_status_has_the_same_fields(peers: tuple[Peer, Peer], path: str) -> None:
    """What they say differs, as the two programs do; what there is to read does not."""
    theirs, ours = (peer.ask(f"status/{path}").json()["data"] for peer in peers)
    ours.pop("droppedByTarget", None)

    assert shape(ours) == shape(theirs)
    assert list(ours) == list(theirs)


def test_flags_are_texts_by_the_same_names(peers: tuple[Peer, Peer]) -> None:
    """Those that are set here are called as there, and the query's defaults are the same."""
    theirs, ours = (peer.ask("status/flags").json()["data"] for peer in peers)

    assert ours.keys() <= theirs.keys()
    assert all(isinstance(value, str) for value in ours.values())
    assert ours["query.lookback-delta"] == theirs["query.lookback-delta"]
    assert ours["query.max-samples"] == theirs["query.max-samples"]
    assert ours["query.timeout"] == theirs["query.timeout"]


def test_stats_have_the_same_fields(peers: tuple[Peer, Peer]) -> None:
    """``stats=all``, and a warning for what is neither true nor all."""
    asked = {"query": "requests_total", "time": NOW, "stats": "all"}
    theirs, ours = (peer.ask("query", asked).json() for peer in peers)

    assert shape(ours) == shape(theirs)
    assert list(ours["data"]["stats"]["samples"]) == list(theirs["data"]["stats"]["samples"])
    assert ours["data"]["stats"]["samples"]["seriesTouched"] == 8

    theirs, ours = (peer.ask("query", {**asked, "stats": "x"}).json() for peer in peers)
    assert ours["warnings"] == theirs["warnings"]


@pytest.mark.parametrize(
    "query",
    [
        "requests_total",
        "nothing",
        "rate(nothing[5m])",
        "42",
        "vector(1)",
        "sum by (app) (rate(requests_total[5m]))",
        "requests_total offset 3m + requests_total",
        "topk(2, requests_total) or absent(nothing)",
        "timestamp(requests_total)",
        "requests_total @ end()",
        f"sum(rate(requests_total[5m] @ {NOW - 60})) + sum(requests_total)",
        "max_over_time(sum(requests_total)[5m:30s])",
        "max_over_time(sum(requests_total)[20s:1m])",
        "min_over_time(sum_over_time(requests_total[90s])[5m:30s] offset 1m)",
        "rate(requests_total[75s])",
        "sum_over_time((requests_total @ end())[5m:1m])",
        "avg_over_time(max_over_time(requests_total[2m])[4m:1m])",
        "hist",
        "hist offset 2m",
        "rate(hist[5m])",
        "histogram_count(hist)",
        "timestamp(mixed)",
        "mixed",
        "sum_over_time(mixed[10m])",
    ],
)
def test_samples_are_counted_alike(peers: tuple[Peer, Peer], query: str) -> None:
    """All in all and at each step, of instant and range queries; also where a step is no whole second."""
    window = {"start": NOW - 600, "end": NOW + 400, "step": 37.5}
    for path, when in (("query", {"time": NOW - 0.5}), ("query_range", window)):
        asked = {"query": query, "stats": "all", **when}
        theirs, ours = (peer.ask(path, asked).json()["data"]["stats"]["samples"] for peer in peers)
        for samples in (ours, theirs):
            del samples["peakSamples"]  # engines hold what they need
        assert ours == theirs
        del asked["stats"]
        assert "stats" not in peers[1].ask(path, asked).json()["data"]


def test_a_range_vector_is_counted(peers: tuple[Peer, Peer]) -> None:
    """By itself, and what a sub-query read."""
    for query in ("requests_total[5m]", "requests_total[5m:1m]", "hist[3m]"):
        asked = {"query": query, "stats": "all", "time": NOW}
        theirs, ours = (
            peer.ask("query", asked).json()["data"]["stats"]["samples"] for peer in peers
        )
        for samples in (ours, theirs):
            del samples["peakSamples"]
        assert ours == theirs


def test_deleted_samples_are_gone(peers: tuple[Peer, Peer]) -> None:
    """One series wholly, the other from a time on; both answer 204 and have the same left."""
    answers = []
    now_ms = int(
        time.time() * 1000
    )  # the others have written up to now: what is an hour older is refused
    for peer in peers:
        points = [(now_ms - MINUTE_MS * k, float(k)) for k in range(10, -1, -1)]
        labels = [Labels.of({METRIC_NAME: "doomed", "k": k}) for k in "xy"]
        peer.write(dict.fromkeys(labels, Written(points)))
        whole = peer.ask("admin/tsdb/delete_series", {MATCH: 'doomed{k="x"}'}, method="POST")
        part = {MATCH: 'doomed{k="y"}', "start": now_ms / 1000 - 180}
        rest = peer.ask("admin/tsdb/delete_series", part, method="PUT")
        clean = peer.ask("admin/tsdb/clean_tombstones", method="POST")
        bad = [
            peer.ask("admin/tsdb/delete_series", form, method="POST").json()
            for form in ({}, {MATCH: "{"}, {MATCH: "doomed", "start": "x"})
        ]
        left = parsed(peer.ask("query", {"query": "doomed[1h]", "time": now_ms / 1000}))
        answers.append(([one.status for one in (whole, rest, clean)], bad, left))
    theirs, ours = answers

    assert theirs[0] == [204, 204, 204]
    assert ours == theirs
