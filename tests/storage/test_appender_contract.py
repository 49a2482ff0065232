"""What every store of series must do, held against the fake and the real one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from model.labels import Labels, Matcher, MatchOp
from model.samples import NO_SAMPLE, STALE, ScrapeBatch, is_no_sample, is_stale
from storage.interface import TS_PAD, Appender, Hints, Queryable, SeriesSet
from storage.tsdb.db import Tsdb
from storage.tsdb.settings import TsdbSettings
from tests.fakes.clock import FakeClock
from tests.fakes.store import MemoryStore

UP = Labels.of({"__name__": "up", "job": "a"})
LOAD = Labels.of({"__name__": "load", "job": "a"})


class Store(Appender, Queryable, Protocol):
    """Both sides of a store of series."""


@pytest.fixture(params=["memory", "tsdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Give each store in turn."""
    if request.param == "memory":
        yield MemoryStore()
        return
    tsdb = Tsdb(tmp_path / "tsdb", TsdbSettings(), FakeClock(), CollectorRegistry())
    tsdb.start()
    yield tsdb
    tsdb.stop()


def points(found: SeriesSet) -> dict[Labels, list[tuple[int, float]]]:
    """Flatten a SeriesSet: samples by labels, stale markers as the word they are."""
    out = {}
    for group in found.groups:
        for row, ts_row, values in zip(group.rows, group.ts_row, group.values, strict=True):
            ts = group.ts_ms[ts_row]
            here = (ts != TS_PAD) & ~is_no_sample(values)
            out[found.labels.labels(int(row))] = list(
                zip(ts[here].tolist(), values[here].tolist(), strict=True)
            )
    return out


def test_a_scrape_comes_back(store: Store) -> None:
    """What one scrape brought is what a select gives."""
    layout = store.layout([UP, LOAD])
    store.append(ScrapeBatch(layout, 1000, np.array([1.0, 0.5]))).wait()
    store.append(ScrapeBatch(layout, 2000, np.array([1.0, NO_SAMPLE[0]]))).wait()

    found = store.select([Matcher("job", MatchOp.EQUAL, "a")], 0, 5000, Hints())

    assert points(found) == {UP: [(1000, 1.0), (2000, 1.0)], LOAD: [(1000, 0.5)]}


def test_old_samples_are_taken(store: Store) -> None:
    """Samples from 1970 and out of order are stored in time order."""
    refs = store.series([UP, UP])
    store.append_samples(refs, np.array([60_000, 0]), np.array([2.0, 1.0])).wait()

    found = store.select([Matcher("__name__", MatchOp.REGEX, "u.*")], 0, 60_000, Hints())

    assert points(found) == {UP: [(0, 1.0), (60_000, 2.0)]}


def test_stale_markers_keep_their_bits(store: Store) -> None:
    """A stale marker is the same 64 bits on the way out."""
    layout = store.layout([UP])
    store.append(ScrapeBatch(layout, 1000, STALE.copy())).wait()

    found = store.select([Matcher("__name__", MatchOp.EQUAL, "up")], 0, 5000, Hints())

    assert is_stale(found.groups[0].values).sum() == 1


def test_labels_are_listed(store: Store) -> None:
    """Names and values of labels can be listed, narrowed by matchers."""
    store.append(ScrapeBatch(store.layout([UP, LOAD]), 1000, np.array([1.0, 0.5]))).wait()

    assert store.label_names([], 0, 5000) == ["__name__", "job"]
    assert store.label_values("__name__", [], 0, 5000) == ["load", "up"]
    assert store.label_values(
        "__name__", [Matcher("__name__", MatchOp.NOT_REGEX, "l.+")], 0, 5000
    ) == ["up"]
