"""What a real Prometheus gives back by remote read, against a store in plain dicts with the same samples."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec import Struct

from model.errors import StorageError
from model.histogram.pool import HistogramColumn
from model.labels import Labels, Matcher, MatchOp
from model.samples import STALE, no_samples
from promql.engine import Engine
from storage.interface import Hints, SeriesSet
from storage.remote.client import RemoteWriteClient
from storage.remote.encode import encode_labels, encode_samples
from storage.remote.encode_histograms import encode_histogram, stale_histogram
from storage.remote.read_response import decode_response
from storage.remote.reader import RemoteQueryable
from storage.remote.selector import selector_text
from storage.remote.wire import delimited, varint
from tests.fakes.store import MemoryStore
from tests.storage.histograms import Histogram, pool_of
from tests.storage.points import samples
from tests.storage.remote.prometheus import Prometheus

NOW = 1_767_225_600_000
STEP = 15_000
FLOATS = [
    Labels.of({"__name__": "http_requests_total", "job": job, "code": code, "task.id": "t"})
    for job in ("api", "web")
    for code in ("200", "500")
]
LOAD = Labels.of({"__name__": "load", "job": "web", "quote": 'a"b\\c\n'})
LATENCY = Labels.of({"__name__": "latency", "job": "api"})
EQ, NE, RE, NR = MatchOp.EQUAL, MatchOp.NOT_EQUAL, MatchOp.REGEX, MatchOp.NOT_REGEX


class Both(Struct, frozen=True):
    """A Prometheus and a store in memory that hold the same."""

    far: RemoteQueryable
    near: MemoryStore
    process: Prometheus


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Fill both, in time order."""
    process = Prometheus(tmp_path_factory.mktemp("prometheus"))
    process.start()
    try:
        near = MemoryStore()
        client = RemoteWriteClient(f"{process.url}/api/v1/write")
        _fill(client, near)
        client.close()
        far = RemoteQueryable(f"{process.url}/api/v1/read")
        yield Both(far, near, process)
        far.close()
    finally:
        process.stop()


def _fill(client: RemoteWriteClient, near: MemoryStore) -> None:
    refs = near.series([*FLOATS, LOAD, LATENCY])
    for step in range(40):
        ts = NOW + step * STEP
        values = np.array([step * 2.0, 0.0, step / 7, np.inf, np.nan])
        if step == 30:
            values[2:3] = STALE
        times = np.full(5, ts)
        client.post(encode_samples([encode_labels(x) for x in (*FLOATS, LOAD)], times, values)[0])
        near.append_samples(refs[:5], times, values)
        histogram = Histogram({1: step + 1.0, 3: 2.0 * step}, {0: 1.0}, sum=1.5 * step, zero=2.0)
        if step < 20:
            pool = pool_of([histogram])
            message = encode_histogram(pool, 0, ts)
            column = HistogramColumn(np.zeros(1, dtype=np.int32), pool)
            near.append_samples(refs[5:], np.array([ts]), no_samples(1), histograms=column)
        elif step == 20:
            message = stale_histogram(ts)
            near.append_samples(refs[5:], np.array([ts]), STALE)
        else:
            continue
        client.post(delimited(0x0A, encode_labels(LATENCY) + delimited(0x22, message)))


def unhinted(found: SeriesSet) -> dict[Labels, list[tuple[int, int, object]]]:
    """Flatten an answer; Prometheus may give no hint where it began a chunk."""
    return {
        labels: [
            (ts, start, value.hinted("") if isinstance(value, Histogram) else value)
            for ts, start, value in held
        ]
        for labels, held in samples(found).items()
    }


@pytest.mark.peer
@pytest.mark.parametrize(
    "matchers",
    [
        [Matcher("__name__", EQ, "http_requests_total")],
        [Matcher("__name__", EQ, "latency")],
        [Matcher("__name__", RE, ".+"), Matcher("job", NE, "api")],
        [Matcher("job", RE, "a.*|x"), Matcher("code", NR, "5..")],
        [Matcher("task.id", EQ, "t"), Matcher("code", EQ, "200")],
        [Matcher("quote", EQ, 'a"b\\c\n')],
        [Matcher("job", EQ, "none")],
    ],
    ids=selector_text,
)
@pytest.mark.parametrize(
    ("mint", "maxt"),
    [(0, 1 << 62), (NOW + 5 * STEP, NOW + 25 * STEP), (NOW - 10, NOW - 1), (NOW, NOW)],
)
def test_selects_are_the_same(both: Both, matchers: list[Matcher], mint: int, maxt: int) -> None:
    """Series, times, bits of the values, stale markers and histograms."""
    far = both.far.select(matchers, mint, maxt, Hints())

    assert unhinted(far) == unhinted(both.near.select(matchers, mint, maxt, Hints()))
    rows = sorted(row for group in far.groups for row in group.rows.tolist())
    assert rows == list(range(far.labels.size))


@pytest.mark.peer
def test_labels_are_the_same(both: Both) -> None:
    """Names, values and series, narrowed by matchers or not."""
    job = [Matcher("job", EQ, "api")]
    for matchers in ([], job):
        assert both.far.label_names(matchers, 0, 1 << 62) == both.near.label_names(
            matchers, 0, 1 << 62
        )
        for name in ("__name__", "job", "task.id"):
            assert both.far.label_values(name, matchers, 0, 1 << 62) == both.near.label_values(
                name, matchers, 0, 1 << 62
            )
    only = Hints(series_only=True)
    found = both.far.select(job, 0, 1 << 62, only).labels.rows()
    assert sorted(found) == sorted(both.near.select(job, 0, 1 << 62, only).labels.rows())
    assert both.far.metadata("none") == {}


@pytest.mark.peer
@pytest.mark.parametrize(
    "query",
    [
        "sum by (job) (rate(http_requests_total[2m]))",
        'http_requests_total{code="500"} or load',
        "histogram_quantile(0.5, rate(latency[1m]))",
        "count_over_time({job=~'.+'}[5m])",
    ],
)
def test_the_engine_answers_as_the_far_side_does(both: Both, query: str) -> None:
    """A query over remote read is the query that Prometheus itself answers."""
    at = NOW + 15 * STEP
    found = Engine().instant(both.far, query, at).value
    want = {
        Labels.of(one["metric"]): float(one["value"][1]) for one in both.process.query(query, at)
    }

    got = dict(zip(found.labels.rows(), found.values.tolist(), strict=True))  # type: ignore[union-attr]  # a vector
    assert got == pytest.approx(want, nan_ok=True)


@pytest.mark.peer
def test_a_store_that_went_away_and_came_back(tmp_path: Path) -> None:
    """While nobody answers it is a StorageError; a kept connection that was closed is no trouble."""
    process = Prometheus(tmp_path)
    far = RemoteQueryable(f"{process.url}/api/v1/read", 2.0)
    with pytest.raises(StorageError, match="no answer"):
        far.select([Matcher("job", EQ, "x")], 0, 1, Hints())
    process.start()
    try:
        assert far.label_names([], 0, 1 << 62) == []
        process.stop()
        process.start()

        assert far.label_names([], 0, 1 << 62) == []
        with pytest.raises(StorageError, match="answered 500: error parsing regexp"):
            far.select([Matcher("job", RE, "(")], 0, 1, Hints())
    except subprocess.TimeoutExpired:
        process.stop(kill=True)
        raise
    finally:
        process.stop()
        far.close()


def test_an_answer_of_the_usual_form_and_of_others() -> None:
    """Series with equal times share a group; a left-out zero is a zero."""
    times = np.array([NOW, NOW + 1])
    series = []
    for name, values in (("a", [1.0, 2.0]), ("b", [0.0, 3.0]), ("c", [4.0, 5.0])):
        points = b"".join(
            delimited(0x12, (b"\x09" + np.float64(v).tobytes() if v else b"") + b"\x10" + varint(t))
            for v, t in zip(values, times.tolist(), strict=True)
        )
        series.append(delimited(0x0A, encode_labels(Labels.of({"__name__": name})) + points))
    found = decode_response(delimited(0x0A, b"".join(series)))

    assert [group.values.tolist() for group in found.groups] == [[[1, 2], [0, 3], [4, 5]]]
