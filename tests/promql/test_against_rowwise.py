"""The engine against a slow evaluator that goes through one series and one step at a time.

``TASKSCOPE_ROWWISE_EXAMPLES`` sets how many queries are tried (default 150).
"""

import math
import os
import random
from collections.abc import Mapping
from itertools import product

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from model.errors import QueryError
from model.labels import Labels
from model.samples import STALE
from promql.engine import Engine
from promql.result import Scalar
from tests.promql.columns import ColumnStore, Sample
from tests.promql.promqltest import answer
from tests.promql.rowwise.aggregate import SIMPLE as AGGREGATES
from tests.promql.rowwise.evaluate import SIMPLE, evaluate
from tests.promql.rowwise.operators import ARITHMETIC, COMPARISONS
from tests.promql.rowwise.over_time import WINDOW_FUNCTIONS
from tests.promql.rowwise.series import RowError

EXAMPLES = int(os.environ.get("TASKSCOPE_ROWWISE_EXAMPLES", "150"))
NAMES = ("a", "b_total")
LABEL_VALUES = ("", "x", "y")
DURATIONS = ("10s", "30s", "45s", "1m", "100s", "5m")
GROUPINGS = ("", " by (l)", " by (m)", " without (l)", " by (__name__)", " by (l, m)")
MATCHINGS = (
    "",
    " on (l)",
    " ignoring (m)",
    " on (l) group_left ()",
    " ignoring (m) group_right (m)",
)
START_MS, END_MS, STEP_MS = 60_000, 460_000, 50_000

SHIFTS = ("", "", "", " offset 20s", " offset -35s", " @ 150", " @ end()", " @ start() offset 1m")
NUMBERS = (math.nan, math.inf, -math.inf, 0.0, 1.0)


def random_store(rng: random.Random) -> ColumnStore:
    """A few series with gaps, stale markers and odd times."""
    store = ColumnStore()
    for name, label in product(NAMES, LABEL_VALUES):
        labels = Labels.of({"__name__": name, "l": label, "m": rng.choice(LABEL_VALUES)})
        for t in sorted(rng.sample(range(60), rng.randint(0, 20))):
            value = np.float64(_number(rng))
            if rng.random() < 0.1:
                value = STALE[0]
            store.put(labels, t * 10_000 + rng.choice([0, 0, 1, -1]), Sample(value))
    return store


def _number(rng: random.Random) -> float:
    kind = rng.random()
    if kind < 0.6:
        return float(rng.randint(-5, 20))
    return round(rng.uniform(-1000, 1000), 3) if kind < 0.9 else rng.choice(NUMBERS)


def _selector(rng: random.Random) -> str:
    matchers = ["", "", '{l="x"}', '{l!="x"}', '{m=~"x|y"}', '{l!~".+"}']
    return rng.choice(NAMES) + rng.choice(matchers)


def _window(rng: random.Random, depth: int) -> str:
    length, shift = rng.choice(DURATIONS), rng.choice(SHIFTS)
    if rng.random() < 0.6:
        return f"{_selector(rng)}[{length}]{shift}"
    step = rng.choice(["", "10s", "25s", "1m"])
    return f"({random_query(rng, depth)})[{length}:{step}]{shift}"


def random_query(rng: random.Random, depth: int = 3) -> str:
    """Return a vector expression."""
    if depth == 0 or rng.random() < 0.15:
        return _selector(rng) + rng.choice(SHIFTS)
    depth -= 1
    kind = rng.randrange(7)
    one = f"({random_query(rng, depth)})"
    grouping = rng.choice(GROUPINGS)
    if kind == 0:
        return f"{rng.choice(sorted(WINDOW_FUNCTIONS))}({_window(rng, depth)})"
    if kind == 1:
        return f"{rng.choice(sorted(SIMPLE))}{one}"
    if kind == 2:
        return f"{rng.choice(sorted(AGGREGATES))}{grouping} {one}"
    if kind == 3:
        q = rng.choice(["0.5", "0", "1", "0.27", "-1", "NaN"])
        if rng.random() < 0.5:
            return f"quantile_over_time({q}, {_window(rng, depth)})"
        return f"quantile{grouping} ({q}, {one})"
    return _operation(rng, one, depth, kind)


def _operation(rng: random.Random, one: str, depth: int, kind: int) -> str:
    matching = rng.choice(MATCHINGS)
    if kind == 4:
        operator = rng.choice(["and", "or", "unless"])
        return f"{one} {operator}{matching.partition(' group')[0]} ({random_query(rng, depth)})"
    operator = rng.choice([*ARITHMETIC, *COMPARISONS])
    word = " bool" if operator in COMPARISONS and rng.random() < 0.5 else ""
    if kind == 5:
        sides = [one, rng.choice(["2", "0", "-1.5", "NaN", "time()"])]
        rng.shuffle(sides)
        return f"{sides[0]} {operator}{word} {sides[1]}"
    return f"{one} {operator}{word}{matching} ({random_query(rng, depth)})"


def same(one: float, other: float) -> bool:
    """Compare; sums that cancel out leave a little."""
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-8)


def check(want: dict[Labels, float], got: dict[Labels, float], what: str) -> None:
    """Compare two vectors."""
    assert want.keys() == got.keys(), what
    for labels, value in want.items():
        assert same(value, got[labels]), (what, dict(labels), value, got[labels])


def unnamed(points: Mapping[Labels, float]) -> dict[Labels, float]:
    """Leave names away; of series that only a name told apart the one with the least value stays."""
    out: dict[Labels, float] = {}
    for labels, value in points.items():
        bare = Labels(pair for pair in labels if pair[0] != "__name__")
        out[bare] = min(out.get(bare, value), value, key=lambda one: (math.isnan(one), one))
    return out


def vector(engine: Engine, store: ColumnStore, query: str, at_ms: int) -> dict[Labels, float]:
    """Ask for an instant."""
    result = engine.instant(store, query, at_ms)
    if isinstance(result.value, Scalar):
        return {Labels(): float(result.value.values[0])}
    return {labels: points[at_ms] for labels, points in answer(result)}  # type: ignore[misc]  # floats


seeds = st.integers(0, 2**32)
tried = settings(
    max_examples=EXAMPLES, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate)
)


@tried
@given(seed=seeds)
def test_instants_are_what_going_row_by_row_gives(seed: int) -> None:
    """Selectors, windows, operators, aggregations and sub-queries, nested."""
    rng = random.Random(seed)
    store, query, at_ms = random_store(rng), random_query(rng), rng.randint(0, 70) * 10_000
    try:
        want = evaluate(store, query, at_ms, at_ms, at_ms, 0)
    except RowError:
        with pytest.raises(QueryError):
            Engine().instant(store, query, at_ms)
        return
    check(want, vector(Engine(), store, query, at_ms), f"{query} at {at_ms}")


@tried
@given(seed=seeds)
def test_ranges_are_what_going_step_by_step_gives(seed: int) -> None:
    """Each step of a range query is the row-wise value there; ``@ end()`` is the last step."""
    rng = random.Random(seed)
    store, query = random_store(rng), random_query(rng, 2)
    steps = range(START_MS, END_MS + 1, STEP_MS)
    try:
        want = {t: evaluate(store, query, t, START_MS, END_MS, STEP_MS) for t in steps}
    except RowError:
        with pytest.raises(QueryError):
            Engine().range(store, query, START_MS, END_MS, STEP_MS)
        return
    rows = answer(Engine().range(store, query, START_MS, END_MS, STEP_MS))
    for t in steps:
        got = {labels: points[t] for labels, points in rows if t in points}
        if " or " in query:  # over a range both sides become one series, which has one name or none
            assert len(want[t]) == len(got), query
            check(unnamed(want[t]), unnamed(got), f"{query} at {t}")  # type: ignore[arg-type]  # all are floats
            continue
        check(want[t], got, f"{query} at {t}")  # type: ignore[arg-type]  # all are floats


@tried
@given(seed=seeds)
def test_pinned_selectors_do_not_depend_on_when_they_are_asked(seed: int) -> None:
    """``@ t`` at any time is the plain selector at t."""
    rng = random.Random(seed)
    store, selector, at, asked = random_store(rng), _selector(rng), rng.randint(0, 70), rng.randint(-9, 99)  # fmt: skip
    want = vector(Engine(), store, f"sum by (l) ({selector})", at * 10_000)
    got = vector(Engine(), store, f"sum by (l) ({selector} @ {at * 10})", asked * 10_000)

    check(want, got, selector)
