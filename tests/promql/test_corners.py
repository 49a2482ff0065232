"""Corners of the language where an evaluation over columns could differ from one sample by sample."""

import numpy as np
import pytest

from model.labels import Labels
from promql.buckets import without_buckets
from promql.engine import Engine
from promql.invariant import once
from promql.parser import parse
from promql.visit import selectors
from tests.promql.columns import ColumnStore
from tests.promql.promqltest import answer
from tests.promql.script import load

SAMPLES = """load 1m
c_total{k="a"} 1 2 Inf 3 5 7 9 11
c_total{k="b"} 1 2 3 4 5 6 7 8
g 5 4 3 2 1 0 -1 -2
b_bucket{le="1"} 4x20
b_bucket{le="2"} 3x20
b_bucket{le="+Inf"} 5x20
h {{schema:0 count:4 sum:4 buckets:[2 2]}} {{schema:0 count:6 sum:4 buckets:[3 3]}} {{schema:0 count:2 sum:4 buckets:[1 1]}} {{schema:0 count:4 sum:4 buckets:[2 2]}}
e {{count:10 sum:5}}"""


@pytest.fixture(scope="module")
def store() -> ColumnStore:
    """Return the samples above."""
    found = ColumnStore()
    load(found, SAMPLES.split("\n"))
    return found


@pytest.mark.parametrize(
    ("query", "minute", "values"),
    [
        # an endless value before the window must not spoil what is summed in it
        ('increase(c_total{k="a"}[2m])', 7, [4.0]),
        ("quantile_over_time(1 / 0, g[2m])", 3, [np.inf]),
        ("clamp_min(vector(NaN), Inf)", 0, [np.inf]),
        ("month(vector(-Inf))", 0, [12.0]),
        ("year(vector(NaN))", 0, [292277026596.0]),
        ("histogram_quantile(0.5, e)", 0, [0.0]),
        ("histogram_fraction(0, 2, b_bucket)", 0, [0.6]),
        ("count_over_time(g[2m])", 3, [2.0]),
        ("changes(g[2m] anchored)", 3, [2.0]),
        ("delta(g[90s] smoothed)", 3, [-1.5]),
        ("g smoothed", 3.5, [1.5]),
    ],
)
def test_values(store: ColumnStore, query: str, minute: float, values: list[float]) -> None:
    """Checked against Prometheus 3.16."""
    at = round(minute * 60_000)
    got = [
        points[max(points)] if points else None
        for _, points in answer(Engine().instant(store, query, at))
    ]
    assert got == pytest.approx(values, nan_ok=True)


@pytest.mark.parametrize(("steps", "count"), [(0, 1), (1, 4), (2, 10), (3, 22)])
def test_mended_buckets_are_counted_as_prometheus_counts(
    store: ColumnStore, steps: int, count: int
) -> None:
    """Each step adds the samples of all steps before it once more."""
    query = "histogram_quantile(0.5, b_bucket)"
    result = Engine().range(store, query, 0, steps * 60_000, 60_000)

    assert [f"over {count} samples" in text for text in result.infos] == [True]


def test_a_reset_is_told_only_where_buckets_are_left_out(store: ColumnStore) -> None:
    """A sum over a reset warns below ``histogram_count``, where hints are worked out on the way."""
    bare = Engine().instant(store, "histogram_count(sum_over_time(h[5m]))", 180_000)
    whole = Engine().instant(store, "sum_over_time(h[5m])", 180_000)

    assert ["conflicting counter resets" in text for text in bare.warnings] == [True]
    assert whole.warnings == ()


@pytest.mark.parametrize(
    ("query", "bare"),
    [
        ("histogram_count(rate(a[5m]))", {"a"}),
        ("histogram_sum(a) + b", {"a"}),
        ("histogram_count(a == b)", set()),
        ("histogram_quantile(0.5, a) + absent(b)", {"b"}),
        ("histogram_count(max_over_time(a[5m:1m]))", set()),
        ('count_values("x", histogram_avg(a))', set()),
    ],
)
def test_which_selectors_need_no_buckets(query: str, bare: set[str]) -> None:
    """What looks at counts and sums only, unless something around it compares."""
    tree = parse(query)
    found = without_buckets(tree)

    assert {node.name for node in selectors(tree) if id(node) in found} == bare


@pytest.mark.parametrize(
    ("query", "calls"),
    [
        ("sum(a @ 5)", True),
        ("sum(a @ 5) + b", False),
        ("predict_linear(a[5m] @ 5, 60)", False),
        ("timestamp(a @ 5)", True),
        ("timestamp(-(a @ 5))", False),
        ("info(a @ 5 or b @ 6)", False),
        ("info(a @ 5 or b @ 5)", True),
        ("max_over_time(a[5m:1m] @ 5)", True),
    ],
)
def test_what_is_worked_out_once(query: str, *, calls: bool) -> None:
    """An expression whose selectors are pinned down, unless its function looks at the step."""
    tree = parse(query)

    assert (id(tree) in once(tree, lambda shift: (5, 0) if shift.at == 5000 else (6, 0))) == calls


def test_a_smoothed_range_shows_what_comes_behind_it(store: ColumnStore) -> None:
    """By itself it has both ends also where all samples lie behind; nothing rises in it."""
    query = 'c_total{k="a"}[30s] smoothed offset 1m'
    shown = answer(Engine().instant(store, query, 30_000))

    assert [points for _, points in shown] == [{-60_000: 1.0, -30_000: 1.0}]
    assert answer(Engine().instant(store, f"increase({query})", 30_000)) == []


def test_labels_of_filled_series_are_the_matched_ones(store: ColumnStore) -> None:
    """Types and units go with the name."""
    query = 'c_total{k="a"} + on (k) fill (0) label_replace(g, "__unit__", "s", "", "")'
    rows = answer(Engine().instant(store, query, 60_000))

    assert sorted(labels for labels, _ in rows) == [Labels(), Labels.of({"k": "a"})]
