"""The engine against a slow reference on random data, and against itself."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from model.errors import ParseError, QueryError, QueryLimitError
from model.labels import Labels, LabelTable
from model.samples import NO_SAMPLE, STALE, is_no_sample
from promql.engine import Engine, Limits
from promql.result import Matrix, Scalar, Vector
from storage.interface import TS_PAD, Group, SeriesSet
from tests.fakes.store import MemoryStore
from tests.promql import reference

STEP = 15_000
SERIES = [
    Labels.of({"__name__": "m_total", "job": job, "instance": str(i)})
    for job in "ab"
    for i in range(4)
]

Data = dict[Labels, reference.Points]


def make(kind: str, seed: int = 7) -> tuple[SeriesSet, Data]:
    """Return the same kind of series in groups as stores give them: dense, with holes, on odd times."""
    rng = np.random.default_rng(seed)
    size, width = len(SERIES), 80
    values = np.cumsum(rng.integers(0, 5, (size, width)).astype(np.float64), axis=1)
    for row in range(size):
        values[row, rng.integers(20, 60) :] -= values[row, 19]  # a reset, or a fall
    base = np.arange(width, dtype=np.int64) * STEP
    ts_row = np.zeros(size, dtype=np.int32)
    ts_ms = base[None, :]
    if kind != "dense":
        ts_row = np.array([0, 0, 1, 1, 2, 2, 3, 3], dtype=np.int32)
        ts_ms = base[None, :] + np.array([0, 1, 7_000, 14_999])[:, None]
    if kind in ("holes", "padded"):
        bits = values.view(np.int64)
        bits[rng.random(values.shape) < 0.2] = NO_SAMPLE.view(np.int64)[0]
        bits[rng.random(values.shape) < 0.05] = STALE.view(np.int64)[0]
    if kind == "padded":
        ts_ms = ts_ms.copy()
        ts_ms[1, 50:] = TS_PAD
        values.view(np.int64)[ts_row == 1, 50:] = NO_SAMPLE.view(np.int64)[0]
    data: Data = {}
    for row, labels in enumerate(SERIES):
        cells = zip(ts_ms[ts_row[row]].tolist(), values[row].tolist(), strict=True)
        data[labels] = [(t, v) for t, v in cells if t != TS_PAD and not np.isnan(v)]
    dense = kind in ("dense", "shifted")
    group = Group(np.arange(size, dtype=np.int32), ts_ms, ts_row, values, dense)
    return SeriesSet(LabelTable.from_labels(SERIES), (group,)), data


class Fixed(MemoryStore):
    """Gives the same groups whatever is asked."""

    def __init__(self, found: SeriesSet) -> None:
        super().__init__()
        self.found = found

    def select(self, *args: object) -> SeriesSet:
        return self.found


KINDS = ["dense", "shifted", "holes", "padded"]
WINDOWS = {
    "rate(m_total[{}])": reference.rate,
    "sum_over_time(m_total[{}])": reference.over(sum),
    "avg_over_time(m_total[{}])": reference.over(lambda v: sum(v) / len(v)),
    "min_over_time(m_total[{}])": reference.over(min),
    "max_over_time(m_total[{}])": reference.over(max),
    "count_over_time(m_total[{}])": reference.over(lambda v: float(len(v))),
    "last_over_time(m_total[{}])": reference.over(lambda v: v[-1]),
    "first_over_time(m_total[{}])": reference.over(lambda v: v[0]),
    "stdvar_over_time(m_total[{}])": reference.over(reference.variance),
    "quantile_over_time(0.3, m_total[{}])": reference.over(lambda v: reference.quantile(0.3, v)),
    "changes(m_total[{}])": reference.over(reference.changes),
    "resets(m_total[{}])": reference.over(reference.resets),
    "deriv(m_total[{}])": reference.deriv,
}


def by_labels(matrix: Matrix) -> dict[str, dict[int, float]]:
    """Return points by ``job/instance``."""
    out = {}
    for labels, values in zip(matrix.labels.rows(), matrix.values, strict=True):
        here = ~is_no_sample(values)
        points = zip(matrix.ts_ms[here].tolist(), values[here].tolist(), strict=True)
        out[f"{labels.get('job')}/{labels.get('instance')}"] = dict(points)
    return out


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("query", WINDOWS)
@pytest.mark.parametrize("minutes", [1, 5])
def test_windows_give_what_the_reference_gives(kind: str, query: str, minutes: int) -> None:
    """Every lane of the engine works out the same windows, step by step."""
    found, data = make(kind)
    range_ms = minutes * 60_000
    steps = range(0, 1_300_000, 40_000)
    result = Engine().range(
        Fixed(found), query.format(f"{minutes}m"), steps.start, steps.stop - 1, steps.step
    )

    assert isinstance(result.value, Matrix)
    got = by_labels(result.value)
    for labels, points in data.items():
        want = {}
        for t in steps:
            value = WINDOWS[query](reference.window(points, t, range_ms), t, range_ms)
            if value is not None:
                want[t] = value
        assert got[f"{labels.get('job')}/{labels.get('instance')}"] == pytest.approx(
            want, nan_ok=True
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("op", ["sum", "avg", "min", "max", "count", "stdvar", "quantile"])
def test_aggregations_give_what_the_reference_gives(kind: str, op: str) -> None:
    """Groups are reduced over what is present at each step."""
    found, _ = make(kind)
    engine, store = Engine(), Fixed(found)
    changes: dict[str, Callable[[Sequence[float]], float]] = {
        "sum": sum,
        "avg": lambda v: sum(v) / len(v),
        "min": min,
        "max": max,
        "count": lambda v: float(len(v)),
        "stdvar": reference.variance,
        "quantile": lambda v: reference.quantile(0.9, v),
    }
    change = changes[op]
    plain = engine.range(store, "m_total", 0, 1_300_000, 40_000).value
    param = "0.9, " if op == "quantile" else ""
    grouped = engine.range(store, f"{op} by (job) ({param}m_total)", 0, 1_300_000, 40_000).value
    assert isinstance(plain, Matrix)
    assert isinstance(grouped, Matrix)

    wanted: dict[str, dict[int, list[float]]] = {}
    for name, points in by_labels(plain).items():
        for t, value in points.items():
            wanted.setdefault(name[0] + "/", {}).setdefault(t, []).append(value)
    got = by_labels(grouped)
    assert got.keys() == wanted.keys()
    for name, steps in wanted.items():
        assert got[name] == pytest.approx({t: change(v) for t, v in steps.items()})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "query",
    [
        "m_total",
        "m_total offset 1m",
        "m_total @ 300",
        "sum by (job) (rate(m_total[2m]))",
        "topk(2, m_total)",
        "m_total / on (instance) group_left sum by (instance) (m_total)",
        "max_over_time(rate(m_total[1m])[5m:30s])",
        "m_total > 30 or m_total{job='a'} < 10",
        "absent(m_total > 1e9)",
        "time() - timestamp(m_total)",
        "count_values('v', m_total)",
        "sum(m_total) and on () vector(1)",
    ],
)
def test_an_instant_query_is_one_step_of_a_range_query(kind: str, query: str) -> None:
    """Both give the same series and values at every step."""
    found, _ = make(kind)
    engine, store = Engine(), Fixed(found)
    matrix = engine.range(store, query, 60_000, 1_200_000, 114_000).value
    assert isinstance(matrix, Matrix)
    rows = matrix.labels.rows()

    for i, t in enumerate(matrix.ts_ms.tolist()):
        vector = engine.instant(store, query, t).value
        assert isinstance(vector, Vector)
        one = dict(zip(vector.labels.rows(), vector.values.tolist(), strict=True))
        column = matrix.values[:, i].copy()
        here = ~is_no_sample(column)
        many = {rows[j]: float(column[j]) for j in np.flatnonzero(here)}
        assert one == pytest.approx(many)


def test_scalars_come_as_scalars_and_as_a_series() -> None:
    """An instant scalar stays one; a range query makes a series without labels of it."""
    engine, store = Engine(), MemoryStore()
    instant = engine.instant(store, "time() + 1", 5000).value
    ranged = engine.range(store, "time() + 1", 0, 2000, 1000).value

    assert isinstance(instant, Scalar)
    assert instant.values.tolist() == [6.0]
    assert isinstance(ranged, Matrix)
    assert ranged.values.tolist() == [[1.0, 2.0, 3.0]]
    assert ranged.labels.rows() == [Labels()]


def test_a_query_that_reads_too_much_is_stopped() -> None:
    """The limit counts samples read and made."""
    found, _ = make("dense")
    engine = Engine(Limits(max_samples=100))

    with pytest.raises(
        QueryLimitError, match="too many samples into memory in query execution"
    ) as caught:
        engine.instant(Fixed(found), "m_total", 60_000)
    assert not caught.value.timeout


def test_a_query_nobody_waits_for_is_stopped() -> None:
    """``cancelled`` is asked before every node."""
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(QueryLimitError) as caught:
        Engine().instant(MemoryStore(), "1 + 2 + 3 + 4", 0, cancelled=cancelled)
    assert caught.value.timeout
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        (
            "m_total[5m]",
            QueryError,
            'invalid expression type "range vector" for range query, must be Scalar or instant Vector',
        ),
        (
            "'x'",
            QueryError,
            'invalid expression type "string" for range query, must be Scalar or instant Vector',
        ),
        ("m_total * on (job) m_total", QueryError, "found duplicate series for the match group"),
        (
            "avg_over_time(m_total[5m] smoothed)",
            QueryError,
            "smoothed modifier can only be used with: delta, increase, rate - not with avg_over_time",
        ),
        ("m_total[", ParseError, "1:9: parse error"),
    ],
)
def test_what_cannot_be_evaluated(query: str, error: type[Exception], message: str) -> None:
    """Errors are told, not answered with something else."""
    found, _ = make("dense")

    with pytest.raises(error, match=message):
        Engine().range(Fixed(found), query, 0, 60_000, 15_000)


def test_the_plain_store_of_the_contract_is_good_enough() -> None:
    """The engine needs nothing of a store but its interface."""
    store = MemoryStore()
    refs = store.series(
        [Labels.of({"__name__": "up", "job": "a"}), Labels.of({"__name__": "up", "job": "b"})]
    )
    store.append_samples(refs, np.array([0, 0]), np.array([1.0, 2.0]))
    store.append_samples(refs, np.array([15_000, 15_000]), np.array([3.0, STALE[0]]))
    result = Engine().instant(store, "up", 20_000).value

    assert isinstance(result, Vector)
    assert result.labels.rows() == [Labels.of({"__name__": "up", "job": "a"})]
    assert result.values.tolist() == [3.0]
