"""What is worked out tile by tile is what is worked out step by step."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from model.labels import LabelTable
from model.samples import NO_SAMPLE_BITS, STALE_BITS
from promql import fused
from promql.engine import Engine
from promql.result import Matrix, Vector
from storage.interface import TS_PAD, Group, Hints, SeriesSet
from tests.fakes.store import MemoryStore

STEP_MS = 15_000
OPS = ["sum", "avg", "min", "max", "count", "group"]
FUNCTIONS = ["rate", "increase"]
QUERIES = [f"{op} by (job) ({name}(m_total[1m]))" for op in OPS for name in FUNCTIONS]


class Given(MemoryStore):
    """Gives what it was made with, cut to the range as a store does it."""

    def __init__(self, found: SeriesSet) -> None:
        super().__init__()
        self._found = found

    def select(self, matchers: object, mint: int, maxt: int, hints: Hints) -> SeriesSet:
        groups = []
        for group in self._found.groups:
            here = ((group.ts_ms >= mint) & (group.ts_ms <= maxt)).any(axis=0)
            columns = np.flatnonzero(here)
            if len(columns):
                cut = slice(int(columns[0]), int(columns[-1]) + 1)
                groups.append(
                    replace(group, ts_ms=group.ts_ms[:, cut], values=group.values[:, cut])
                )
        return SeriesSet(self._found.labels, tuple(groups))


@st.composite
def stores(draw: st.DrawFn) -> Given:
    """Draw some targets with some counters: resets, holes, stale markers, NaN, Inf, offsets."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    targets, each = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    size, width = targets * each, draw(st.integers(1, 14))
    spread = draw(st.sampled_from([0, 400, STEP_MS]))
    offsets = rng.integers(0, spread + 1, targets)
    ts_ms = np.arange(width) * STEP_MS + offsets[:, None]
    rise = rng.integers(0, draw(st.sampled_from([1, 30])) + 1, (size, width)).astype(np.float64)
    values = np.cumsum(rise, axis=1) + rng.integers(0, draw(st.sampled_from([1, 100])), (size, 1))
    if draw(st.booleans()):
        at = rng.random((size, width)) < 0.1
        values = np.where(at, rng.random((size, width)), values)
    odd = draw(st.sampled_from(["", "holes", "floats"]))
    dense = True
    where = rng.random((size, width)) < 0.15
    if odd == "holes":
        dense = not where.any()
        bits = np.where(rng.random((size, width)) < 0.5, STALE_BITS, NO_SAMPLE_BITS)
        values = np.where(where, bits, values.view(np.int64)).view(np.float64)
    elif odd == "floats":
        values = np.where(where, rng.choice([np.nan, np.inf, -np.inf, -3.5], (size, width)), values)
    if draw(st.booleans()) and width > 2:
        ts_ms[-1, -1] = TS_PAD
        values[-each:, -1].view(np.int64)[:] = NO_SAMPLE_BITS
    rows = np.arange(size)
    jobs = draw(st.integers(1, 3))
    labels = LabelTable.from_labels(
        [{"__name__": "m_total", "job": f"j{i % jobs}", "i": str(i)} for i in rows.tolist()]
    )
    ts_row = (rows // each).astype(np.int32)
    group = Group(rows.astype(np.int32), ts_ms, ts_row, np.ascontiguousarray(values), dense)
    return Given(SeriesSet(labels, (group,)))


def _points(value: object) -> dict[object, list[float]]:
    assert isinstance(value, (Matrix, Vector))
    rows = value.values if value.values.ndim == 2 else value.values[:, None]
    return dict(zip(value.labels.rows(), rows.tolist(), strict=True))


@settings(max_examples=150, deadline=None)
@given(store=stores(), query=st.sampled_from(QUERIES), instant=st.booleans(), tile=st.booleans())
def test_tiles_give_what_steps_give(store: Given, query: str, instant: bool, tile: bool) -> None:
    """Sums, extremes and counts of rates are the same, whatever the counters and times are like."""
    end = 13 * STEP_MS

    def run() -> dict[object, list[float]]:
        if instant:
            return _points(Engine().instant(store, query, end - 20_000).value)
        return _points(Engine().range(store, query, 0, end, STEP_MS).value)

    with patch.object(fused, "_CELLS", 40 if tile else 40_000):
        found = run()
    with patch.object(fused, "can_fuse", lambda node: None):
        wanted = run()
    assert found.keys() == wanted.keys()
    for labels, points in wanted.items():
        np.testing.assert_allclose(found[labels], points, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("query", ["sum(rate(m[5m]))", "(max by (a) ((increase(m[5m]))))"])
def test_what_can_be_fused(query: str) -> None:
    """Parentheses do not matter; the call below is found."""
    from promql import ast
    from promql.parser import parse

    node = ast.unwrap(parse(query))
    assert isinstance(node, ast.Aggregate)
    call = fused.can_fuse(node)
    assert call is not None
    assert call.name in FUNCTIONS


@pytest.mark.parametrize(
    "query",
    [
        "stddev(rate(m[5m]))",
        "sum(delta(m[5m]))",
        "sum(rate(m[5m:1m]))",
        "sum(rate(m[5m] smoothed))",
    ],
)
def test_what_is_left_to_others(query: str) -> None:
    """Other functions, sub-queries and extended windows are worked out by themselves."""
    from promql import ast
    from promql.parser import parse

    node = parse(query)
    assert isinstance(node, ast.Aggregate)
    assert fused.can_fuse(node) is None
