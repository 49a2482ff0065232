"""Rates of histograms worked out as differences of matrices are those worked out with care."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.histogram.pool import CUSTOM_SCHEMA, HistogramPool
from model.labels import Labels
from model.samples import STALE_BITS, no_samples
from promql.engine import Engine
from promql.histogram import plain
from promql.result import Matrix, Result, Vector
from tests.fakes.store import MemoryStore
from tests.storage.histograms import Histogram, column_of

STEP_MS = 15_000
END = 13 * STEP_MS
QUERIES = [
    "rate(m[1m])",
    "increase(m[1m])",
    "sum(rate(m[1m]))",
    "sum by (job) (increase(m[45s]))",
    "avg by (job) (rate(m[1m]))",
    "count(rate(m[1m]))",
    "histogram_count(rate(m[1m]))",
    "sum(histogram_sum(rate(m[1m])))",
    "histogram_avg(sum by (job) (rate(m[1m])))",
    "histogram_quantile(0.7, sum(rate(m[1m])))",
    "histogram_quantile(0.7, rate(m[1m]))",
    "histogram_fraction(0, 3, rate(m[1m]))",
]
ODD = ["", "", "resets", "holes", "stale", "starts", "layouts", "gauges", "floats", "custom", "nan"]


@st.composite
def stores(draw: st.DrawFn) -> MemoryStore:
    """Draw some counters of histograms: resets, holes, stale markers, start timestamps, other layouts."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    odd = draw(st.sampled_from(ODD))
    size, width = draw(st.integers(1, 6)), draw(st.integers(1, 14))
    buckets = draw(st.integers(1, 5))
    store = MemoryStore()
    refs = store.series(
        [Labels.of({"__name__": "m", "job": f"j{i % 2}", "i": str(i)}) for i in range(size)]
    )
    offsets = rng.integers(0, draw(st.sampled_from([1, 2000])), size)
    counts = rng.integers(0, 4, (size, buckets))
    starts = np.zeros(size, dtype=np.int64)
    for step in range(width):
        if odd == "resets" and rng.random() < 0.3:
            counts[rng.integers(size)] = 0
        if odd == "starts" and rng.random() < 0.4:
            starts[rng.integers(size)] = max(1, step * STEP_MS - 7000)
        counts = counts + rng.integers(0, 4, (size, buckets))
        row: list[float | Histogram] = [
            _histogram(odd, step, i, one) for i, one in enumerate(counts)
        ]
        values = no_samples(size)
        if odd in ("stale", "floats") and rng.random() < 0.4:
            at = rng.integers(size)
            values.view(np.int64)[at] = STALE_BITS if odd == "stale" else 0
            row[at] = 0.0
        here = rng.random(size) < 0.8 if odd == "holes" else np.ones(size, dtype=bool)
        some = [one for one, there in zip(row, here.tolist(), strict=True) if there]
        if some:
            store.append_samples(
                refs[here],
                step * STEP_MS + offsets[here],
                values[here],
                start_ms=starts[here],
                histograms=column_of(some),
            )
    return store


def _histogram(
    odd: str, step: int, number: int, counts: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> Histogram:
    total = float(counts @ np.arange(1, len(counts) + 1)) - 3.0 * (number == 1)
    if odd == "nan" and number == 0 and step % 5 == 4:
        total = np.nan
    if odd == "custom":
        bounds = tuple(float(b) for b in range(1, len(counts) + 1))
        return Histogram(
            _buckets(counts, 0), sum=total, schema=CUSTOM_SCHEMA, threshold=0.0, bounds=bounds
        )
    shift = number % 3 if odd == "layouts" else 0
    return Histogram(
        _buckets(counts, -1 + shift),
        sum=total,
        zero=float(step),
        schema=step // 6 if odd == "layouts" else 1,
        threshold=0.001 * (1 + (odd == "layouts" and step > 8)),
        hint="gauge" if odd == "gauges" and number == 0 else "",
    )


def _buckets(counts: np.ndarray[tuple[int], np.dtype[np.int64]], first: int) -> dict[int, float]:
    return {first + i: float(count) for i, count in enumerate(counts.tolist())}


def _ran(store: MemoryStore, query: str, *, instant: bool) -> Result:
    if instant:
        return Engine().instant(store, query, END - 20_000)
    return Engine().range(store, query, 0, END, STEP_MS)


def _cells(result: Result) -> dict[object, list[dict[int, list[float]] | float]]:
    """Return floats, and of histograms all numbers, by series."""
    value = result.value
    assert isinstance(value, (Matrix, Vector))
    rows = value.values if value.values.ndim == 2 else value.values[:, None]
    out: dict[object, list[dict[int, list[float]] | float]] = {}
    index = None
    if value.hist is not None:
        index = value.hist.index.reshape(rows.shape)
    for number, labels in enumerate(value.labels.rows()):
        out[labels] = []
        for step, point in enumerate(rows[number].tolist()):
            if value.hist is not None and index is not None and index[number, step] >= 0:
                out[labels].append(_numbers(value.hist.pool, int(index[number, step])))
            else:
                out[labels].append(point)
    return out


def _numbers(pool: HistogramPool, row: int) -> dict[int, list[float]]:
    """Return everything of a histogram: buckets by their index, what is apart at keys beyond."""
    first = int(pool.first[row])
    buckets = {first + i: [c] for i, c in enumerate(pool.positive[row].tolist()) if c}
    about = [pool.schema[row], pool.count[row], pool.sum[row], pool.zero_count[row]]
    about += [pool.zero_threshold[row], pool.hint[row], *pool.bounds[row]]
    return {**buckets, 1000: [float(one) for one in about]}


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(stores(), st.sampled_from(QUERIES), st.booleans(), st.booleans())
def test_differences_of_matrices_are_rates(
    store: MemoryStore, query: str, instant: bool, tile: bool
) -> None:
    """Whatever the histograms are like: the same points, the same warnings."""
    with patch.object(plain, "_CELLS", 40 if tile else 100_000):
        found = _ran(store, query, instant=instant)
    with patch.object(plain.PlainRates, "of", lambda *_: None):
        wanted = _ran(store, query, instant=instant)
    assert found.warnings == wanted.warnings
    assert found.infos == wanted.infos
    mine, theirs = _cells(found), _cells(wanted)
    assert mine.keys() == theirs.keys()
    for labels, points in theirs.items():
        for one, other in zip(mine[labels], points, strict=True):
            assert isinstance(one, dict) == isinstance(other, dict)
            if isinstance(one, dict) and isinstance(other, dict):
                assert one.keys() == other.keys()
                for key, numbers in other.items():
                    np.testing.assert_allclose(one[key], numbers, rtol=1e-11, atol=1e-12)
            else:
                np.testing.assert_allclose(np.array(one), np.array(other), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("query", ["rate(m[1m])", "sum(rate(m[1m]))"])
def test_usual_histograms_are_read_so(query: str) -> None:
    """No histogram is brought onto other columns, also not where one of the counters began anew."""
    store = MemoryStore()
    refs = store.series([Labels.of({"__name__": "m", "i": str(i)}) for i in range(3)])
    for step in range(10):
        since = step if step < 6 else step - 6
        row: list[float | Histogram] = [
            Histogram({1: 2.0 * (since if i == 1 else step) + 1, 2: 1.0}, sum=3.0 * step)
            for i in range(3)
        ]
        ts_ms = np.full(3, step * STEP_MS)
        store.append_samples(refs, ts_ms, no_samples(3), histograms=column_of(row))
    with patch("promql.functions.rate.rise_with_starts", side_effect=AssertionError):
        found = _cells(Engine().range(store, query, 0, 9 * STEP_MS, STEP_MS))
    assert len(found) == (1 if query.startswith("sum") else 3)
