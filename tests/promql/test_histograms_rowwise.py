"""Native histograms in columns against an evaluator that takes one at a time.

``TASKSCOPE_ROWWISE_EXAMPLES`` sets how many queries are tried (default 150).
"""

import math
import random
from collections.abc import Callable, Mapping
from typing import Final

from hypothesis import assume, given
from msgspec.structs import replace

from model.labels import METRIC_NAME, Labels
from promql.engine import Engine
from tests.promql.columns import ColumnStore, Sample
from tests.promql.histograms import Hist, near, same
from tests.promql.promqltest import answer
from tests.promql.rowwise import histograms as rows
from tests.promql.test_against_rowwise import seeds, tried

Value = float | Hist
Vector = dict[Labels, Value]

LOOKBACK_MS = 300_000
WINDOW_MS: Final = {"30s": 30_000, "1m": 60_000, "100s": 100_000, "5m": 300_000}
SERIES = [Labels.of({METRIC_NAME: "h", "l": l, "m": m}) for l in "xy" for m in "ab"]  # noqa: E741  # a label

# no quantile lies on an edge between two buckets, where the last digit decides
MEASURES: Final[Mapping[str, Callable[[Hist], float]]] = {
    "histogram_count({})": lambda h: h.count,
    "histogram_sum({})": lambda h: h.sum,
    "histogram_avg({})": lambda h: h.sum / h.count if h.count else math.nan,
    "histogram_stdvar({})": rows.spread,
    "histogram_stddev({})": lambda h: math.sqrt(rows.spread(h)) if h.count else math.nan,
    "histogram_quantile(0.4713, {})": lambda h: rows.quantile(0.4713, h),
    "histogram_quantile(0.1131, {})": lambda h: rows.quantile(0.1131, h),
    "histogram_quantile(0.9371, {})": lambda h: rows.quantile(0.9371, h),
    "histogram_quantile(0, {})": lambda h: rows.quantile(0, h),
    "histogram_quantile(1, {})": lambda h: rows.quantile(1, h),
    "histogram_quantile(2, {})": lambda h: rows.quantile(2, h),
    "histogram_fraction(0, 3, {})": lambda h: rows.fraction(0, 3, h),
    "histogram_fraction(-1.5, 0.1, {})": lambda h: rows.fraction(-1.5, 0.1, h),
    "histogram_fraction(-Inf, +Inf, {})": lambda h: rows.fraction(-math.inf, math.inf, h),
}
Points = list[tuple[int, Hist]]
OVER_TIME: Final[Mapping[str, Callable[[Points, int, int], Value | None]]] = {
    "rate": lambda p, a, b: _scaled(rows.increase(p, a, b, counter=True), 1000 / (b - a)),
    "increase": lambda p, a, b: rows.increase(p, a, b, counter=True),
    "delta": lambda p, a, b: rows.increase(p, a, b, counter=False),
    "resets": lambda p, _a, _b: rows.resets([h for _, h in p]) if p else None,
    "sum_over_time": lambda p, _a, _b: rows.total([h for _, h in p]) if p else None,
    "avg_over_time": lambda p, _a, _b: rows.times(rows.total([h for _, h in p]), 1 / len(p)) if p else None,
    "last_over_time": lambda p, _a, _b: p[-1][1] if p else None,
    "first_over_time": lambda p, _a, _b: p[0][1] if p else None,
    "count_over_time": lambda p, _a, _b: float(len(p)) if p else None,
}  # fmt: skip


def _scaled(hist: Hist | None, factor: float) -> Hist | None:
    return None if hist is None else rows.times(hist, factor)


def random_store(rng: random.Random) -> ColumnStore:
    """Counters that grow, begin anew, change their resolution or their zero bucket, and have gaps."""
    store = ColumnStore()
    for labels in SERIES:
        hist = _fresh(rng)
        for t in sorted(rng.sample(range(60), rng.randint(0, 20))):
            kind = rng.random()
            if kind < 0.08:
                hist = _fresh(rng)
            elif kind < 0.14:
                hist = rows.coarser(hist, rng.randint(-1, hist.schema))
            elif kind < 0.2:
                hist = rows.widened(hist, max(hist.zero_threshold, rng.choice([0.25, 1.0])))
            hist = _grown(rng, hist)
            store.put(labels, t * 10_000 + rng.choice([0, 0, 1, -1]), Sample(hist))
    return store


def _fresh(rng: random.Random) -> Hist:
    narrow = Hist(schema=rng.choice([0, 1, 2, 3]), zero_threshold=rng.choice([0.001, 0.001, 0.25]))
    return _grown(rng, narrow)


def _grown(rng: random.Random, hist: Hist) -> Hist:
    """Observe a few values."""
    sides = [dict(hist.positive), dict(hist.negative)]
    zero, added, worth = hist.zero_count, 0, hist.sum
    for _ in range(rng.randint(0, 4)):
        many, value = rng.randint(1, 3), rng.choice([rng.uniform(-9, 20), rng.uniform(0, 0.5)])
        added, worth = added + many, worth + many * round(value, 2)
        if abs(value) <= hist.zero_threshold:
            zero += many
            continue
        side = sides[value < 0]
        index = math.ceil(math.log2(abs(value)) * 2**hist.schema)
        if rows.edges(hist.schema, index)[0] < hist.zero_threshold:
            zero += many  # the zero bucket ends within this one
            continue
        side[index] = side.get(index, 0.0) + many
    return replace(hist, count=hist.count + added, sum=round(worth, 2), zero_count=zero, positive=sides[0], negative=sides[1])  # fmt: skip


class Asked:
    """A query made at random, and what it must give at a time, put together from the same parts."""

    def __init__(self, rng: random.Random, store: ColumnStore) -> None:
        self._rng = rng
        self._store = store

    def query(self) -> tuple[str, Callable[[int], Vector]]:
        """Return text and meaning."""
        text, meaning = self._histograms(2)
        if self._rng.random() < 0.6:
            # counts and sums of pairs that differ in their reset hints are left out, as by Prometheus
            paired = ") + (" in text or ") - (" in text
            shape, measure = self._rng.choice(list(MEASURES.items())[3 if paired else 0 :])
            return shape.format(text), lambda t: {
                _bare(k): measure(_sound(v)) for k, v in meaning(t).items() if isinstance(v, Hist)
            }
        return text, meaning

    def _histograms(self, depth: int) -> tuple[str, Callable[[int], Vector]]:
        kind = self._rng.randrange(5) if depth else self._rng.randrange(2)
        if kind == 0:
            return "h", self._newest
        if kind == 1:
            name, window = self._rng.choice(list(OVER_TIME)), self._rng.choice(list(WINDOW_MS))
            return f"{name}(h[{window}])", lambda t: self._over(name, WINDOW_MS[window], t)
        inner, meaning = self._histograms(depth - 1)
        if kind == 2:
            op, label = self._rng.choice(["sum", "avg"]), self._rng.choice(["l", "m", ""])
            return f"{op} by ({label}) ({inner})", lambda t: _grouped(op, label, meaning(t))
        if kind == 3:
            factor = self._rng.choice([2.0, 0.5, -1.0])
            shape = self._rng.choice(["({}) * {}", "{1} * ({0})"])
            return shape.format(inner, factor), lambda t: {
                _bare(k): rows.times(v, factor) if isinstance(v, Hist) else v * factor
                for k, v in meaning(t).items()
            }
        return self._pair(inner, meaning, depth)

    def _pair(
        self, inner: str, meaning: Callable[[int], Vector], depth: int
    ) -> tuple[str, Callable[[int], Vector]]:
        other, theirs = self._histograms(depth - 1)
        sign = self._rng.choice([1.0, -1.0])

        def both(t: int) -> Vector:
            right = {_bare(k): v for k, v in theirs(t).items()}
            out: Vector = {}
            for labels, mine in meaning(t).items():
                match = right.get(_bare(labels))
                if isinstance(mine, Hist) and isinstance(match, Hist):
                    out[_bare(labels)] = rows.plus(mine, match, sign)
                elif isinstance(mine, float) and isinstance(match, float):
                    out[_bare(labels)] = mine + sign * match
            return out

        return f"({inner}) {'+' if sign > 0 else '-'} ({other})", both

    def _points(self, labels: Labels, start_ms: int, end_ms: int) -> Points:
        samples = self._store.samples.get(labels, {})
        return [(t, s.value) for t, s in sorted(samples.items()) if start_ms < t <= end_ms and isinstance(s.value, Hist)]  # fmt: skip

    def _newest(self, t: int) -> Vector:
        found = {labels: self._points(labels, t - LOOKBACK_MS, t) for labels in SERIES}
        return {labels: points[-1][1] for labels, points in found.items() if points}

    def _over(self, name: str, window_ms: int, t: int) -> Vector:
        out: Vector = {}
        for labels in SERIES:
            value = OVER_TIME[name](self._points(labels, t - window_ms, t), t - window_ms, t)
            if value is not None:
                out[labels if name.startswith(("last", "first")) else _bare(labels)] = value
        return out


def _sound(hist: Hist) -> Hist:
    """Pass over histograms that have less than nothing somewhere: no measure of them means anything."""
    counts = (hist.zero_count, *hist.positive.values(), *hist.negative.values())
    assume(all(count >= 0 for count in counts))
    return hist


def _bare(labels: Labels) -> Labels:
    return Labels(pair for pair in labels if pair[0] != METRIC_NAME)


def _grouped(op: str, label: str, vector: Vector) -> Vector:
    groups: dict[Labels, list[Value]] = {}
    for labels, value in vector.items():
        key = Labels.of({label: labels.get(label)} if label else {})
        groups.setdefault(key, []).append(value)
    out: Vector = {}
    for key, values in groups.items():
        part = 1 / len(values) if op == "avg" else 1.0
        hists = [v for v in values if isinstance(v, Hist)]
        floats = [v for v in values if isinstance(v, float)]
        out[key] = rows.times(rows.total(hists), part) if hists else sum(floats) * part
    return out


def check(want: Vector, got: Mapping[Labels, Value], what: str) -> None:
    """Compare two vectors."""
    assert want.keys() == got.keys(), what
    for labels, value in want.items():
        other = got[labels]
        if isinstance(value, Hist):
            assert isinstance(other, Hist), (what, dict(labels))
            assert same(_whole(value), _whole(other)), (what, dict(labels), value, other)
        else:
            assert isinstance(other, float), (what, dict(labels))
            assert near(value, other) or abs(value - other) < 1e-9, (what, dict(labels), value, other)  # fmt: skip


def _whole(hist: Hist) -> Hist:
    """Leave away what is nothing but the rest of a sum that cancels out."""

    def kept(value: float) -> float:
        return value if abs(value) > 1e-9 else 0.0

    return replace(
        hist,
        count=kept(hist.count),
        sum=kept(hist.sum),
        zero_count=kept(hist.zero_count),
        positive={k: kept(v) for k, v in hist.positive.items()},
        negative={k: kept(v) for k, v in hist.negative.items()},
    )


@tried
@given(seed=seeds)
def test_instants_are_what_one_at_a_time_gives(seed: int) -> None:
    """Windows, sums, averages, differences and measures of them."""
    rng = random.Random(seed)
    store = random_store(rng)
    query, meaning = Asked(rng, store).query()
    at_ms = rng.randint(0, 70) * 10_000
    got = {k: points[at_ms] for k, points in answer(Engine().instant(store, query, at_ms))}

    check(meaning(at_ms), got, f"{query} at {at_ms}, seed {seed}")


@tried
@given(seed=seeds)
def test_ranges_are_what_one_at_a_time_gives(seed: int) -> None:
    """The same at each step of a range."""
    rng = random.Random(seed)
    store = random_store(rng)
    query, meaning = Asked(rng, store).query()
    found = answer(Engine().range(store, query, 60_000, 460_000, 50_000))
    for t in range(60_000, 460_001, 50_000):
        got = {k: points[t] for k, points in found if t in points}
        check(meaning(t), got, f"{query} at {t}, seed {seed}")
