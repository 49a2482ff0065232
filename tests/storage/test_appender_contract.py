"""What every store of series must do, held against the fake and the real one."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from model.labels import Labels, Matcher, MatchOp
from model.samples import NO_SAMPLE, STALE, STALE_BITS, Exemplar, ScrapeBatch, is_stale
from storage.interface import Appender, ExemplarQueryable, Hints, Metadata, Queryable
from storage.tsdb.db import Tsdb
from storage.tsdb.settings import TsdbSettings
from tests.fakes.clock import FakeClock
from tests.fakes.store import MemoryStore
from tests.storage.histograms import Histogram, column_of
from tests.storage.points import Sample, point_bits, points, samples

UP = Labels.of({"__name__": "up", "job": "a"})
LOAD = Labels.of({"__name__": "load", "job": "a"})


class Store(Appender, Queryable, ExemplarQueryable, Protocol):
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


def everything(store: Store) -> dict[Labels, list[tuple[int, float]]]:
    """Return all samples of all times."""
    return points(store.select([], 0, 2**62, Hints()))


def test_a_series_keeps_its_identity_when_its_target_changes(store: Store) -> None:
    """A target that loses one series and gains another goes on with those it keeps, in one row each."""
    more = Labels.of({"__name__": "more", "job": "a"})
    store.append(ScrapeBatch(store.layout([UP, LOAD]), 1000, np.array([1.0, 10.0])))
    store.append(ScrapeBatch(store.layout([more, UP]), 2000, np.array([20.0, 2.0])))
    store.append(ScrapeBatch(store.layout([UP, LOAD]), 3000, np.array([3.0, 30.0]))).wait()

    assert everything(store) == {
        UP: [(1000, 1.0), (2000, 2.0), (3000, 3.0)],
        LOAD: [(1000, 10.0), (3000, 30.0)],
        more: [(2000, 20.0)],
    }


def test_the_same_series_have_the_same_layout(store: Store) -> None:
    """Order counts: a layout is a sequence."""
    assert store.layout([UP, LOAD]) == store.layout([UP, LOAD])
    assert store.layout([UP, LOAD]) != store.layout([LOAD, UP])


def put(store: Store, how: str, ts: int, value: float) -> None:
    """Append one sample of UP, as a scrape of one of two targets or with its own timestamp."""
    if how == "late":
        store.append_samples(store.series([UP]), np.array([ts]), np.array([value])).wait()
        return
    labels = [UP] if how == "scrape" else [LOAD, UP]
    values = np.array([value] if how == "scrape" else [0.0, value])
    store.append(ScrapeBatch(store.layout(labels), ts, values)).wait()


@pytest.mark.parametrize("first", ["scrape", "other", "late"])
@pytest.mark.parametrize("second", ["scrape", "other", "late"])
def test_the_later_append_wins(store: Store, first: str, second: str) -> None:
    """Of two samples of one series with the same time the one appended later stays, whatever their way in."""
    put(store, first, 1000, 1.0)
    put(store, second, 2000, 2.0)
    put(store, first, 2000, 3.0)
    put(store, second, 1000, 4.0)

    assert everything(store)[UP] == [(1000, 4.0), (2000, 3.0)]


def test_samples_out_of_order_are_merged(store: Store) -> None:
    """Samples between, before and behind scrapes come back in time order."""
    layout = store.layout([UP, LOAD])
    for ts in (10_000, 20_000, 30_000):
        store.append(ScrapeBatch(layout, ts, np.array([ts / 1000, 0.5])))
    refs = store.series([UP])
    times = np.array([25_000, 5_000, 35_000, 15_000])
    store.append_samples(np.repeat(refs, 4), times, times / 1000).wait()

    found = everything(store)

    assert found[UP] == [(ts, ts / 1000) for ts in range(5_000, 35_001, 5_000)]
    assert found[LOAD] == [(ts, 0.5) for ts in (10_000, 20_000, 30_000)]


def test_a_series_that_stands_twice_in_a_scrape_is_one(store: Store) -> None:
    """The last of the values of a repeated series counts."""
    layout = store.layout([UP, LOAD, UP])
    store.append(ScrapeBatch(layout, 1000, np.array([1.0, 5.0, 2.0]))).wait()

    assert everything(store) == {UP: [(1000, 2.0)], LOAD: [(1000, 5.0)]}


def test_the_range_is_closed(store: Store) -> None:
    """Both ends of the range belong to it, and series without samples in it are not in the answer."""
    layout = store.layout([UP])
    for ts in (1000, 2000, 3000):
        store.append(ScrapeBatch(layout, ts, np.array([float(ts)]))).wait()

    assert points(store.select([], 1000, 2000, Hints())) == {UP: [(1000, 1000.0), (2000, 2000.0)]}
    assert points(store.select([], 2001, 2999, Hints())) == {}
    assert store.select([], 3001, 2**62, Hints()).labels.size == 0


def test_special_values_keep_their_bits(store: Store) -> None:
    """NaNs with payload, infinities and -0.0 come back bit for bit by both ways in."""
    bits = [0x7FF8000000000001, 0x7FF0000000000002, 0x7FF0000000000000, -(2**63), 1]
    layout, refs = store.layout([UP]), store.series([LOAD])
    for number, one in enumerate(bits):
        value = np.array([one], dtype=np.int64).view(np.float64)
        store.append(ScrapeBatch(layout, 1000 + number, value))
        store.append_samples(refs, np.array([1000 + number]), value).wait()

    found = point_bits(store.select([], 0, 5000, Hints()))

    wanted = [(1000 + number, one) for number, one in enumerate(bits)]
    assert found == {UP: wanted, LOAD: wanted}


def test_many_series_at_once(store: Store) -> None:
    """A write of many series with their own timestamps is stored whole."""
    labels = [Labels.of({"__name__": "m", "i": str(i)}) for i in range(500)]
    refs = np.tile(store.series(labels), 3)
    times = np.repeat(np.array([3000, 1000, 2000]), 500) + np.tile(np.arange(500), 3)
    store.append_samples(refs, times, refs + times / 1e6).wait()

    found = everything(store)

    assert len(found) == 500
    for i, one in enumerate(labels):
        assert [ts for ts, _ in found[one]] == [1000 + i, 2000 + i, 3000 + i]


def test_metadata_is_kept_by_name(store: Store) -> None:
    """What an exposition said last of a family is what is known."""
    store.set_metadata({"up": Metadata("gauge", "old", ""), "load": Metadata("gauge", "", "")})
    store.set_metadata({"up": Metadata("gauge", "new", "")})

    assert store.metadata("up") == {"up": Metadata("gauge", "new", "")}
    assert sorted(store.metadata()) == ["load", "up"]
    assert store.metadata("none") == {}


SMALL = Histogram(positive={0: 1, 1: 2}, sum=4.5, zero=1)
LARGE = Histogram(positive={-2: 1, 0: 4, 1: 2, 3: 2}, negative={1: 2}, sum=-9.25, zero=1)
CUSTOM = Histogram(positive={0: 1, 2: 5}, sum=7.0, schema=-53, threshold=0.0, bounds=(0.5, 1.0))


def put_all(
    store: Store, labels: Labels, written: Sequence[tuple[int, float | Histogram]], start: int = 0
) -> None:
    """Append samples of one series at once."""
    refs = np.repeat(store.series([labels]), len(written))
    values = np.array([NO_SAMPLE[0] if isinstance(one, Histogram) else one for _, one in written])
    store.append_samples(
        refs,
        np.array([ts for ts, _ in written]),
        values,
        start_ms=np.full(len(written), start) if start else None,
        histograms=column_of([one for _, one in written]),
    ).wait()


def every_sample(store: Store, mint: int = 0) -> dict[Labels, list[Sample]]:
    """Return all samples from a time on, histograms included."""
    return samples(store.select([], mint, 2**62, Hints()))


def test_histograms_come_back(store: Store) -> None:
    """Histograms of every kind are given back beside the floats of other series."""
    put_all(store, LOAD, [(1000, SMALL), (2000, LARGE), (3000, CUSTOM), (4000, SMALL)])
    put_all(store, UP, [(1000, 1.0)])

    assert every_sample(store) == {
        LOAD: [
            (1000, 0, SMALL),
            (2000, 0, LARGE.hinted("not_reset")),
            (3000, 0, CUSTOM.hinted("reset")),
            (4000, 0, SMALL.hinted("reset")),
        ],
        UP: [(1000, 0, bits(1.0))],
    }


def test_the_first_histogram_of_a_range_has_no_hint(store: Store) -> None:
    """A hint is against the histogram before in the answer; a float or stale marker in between hides it."""
    put_all(store, UP, [(1000, SMALL), (2000, LARGE), (3000, LARGE), (4000, 1.0), (5000, LARGE)])
    store.append_samples(store.series([UP]), np.array([6000]), STALE.copy()).wait()
    put_all(store, UP, [(7000, SMALL)])

    found = every_sample(store, 2000)[UP]

    assert found == [
        (2000, 0, LARGE),
        (3000, 0, LARGE.hinted("not_reset")),
        (4000, 0, bits(1.0)),
        (5000, 0, LARGE),
        (6000, 0, STALE_BITS),
        (7000, 0, SMALL),
    ]


def test_hints_from_outside(store: Store) -> None:
    """GAUGE and RESET are kept; what the sender says of NOT_RESET is found out anew."""
    written = [SMALL.hinted("reset"), LARGE.hinted("not_reset"), SMALL.hinted("not_reset")]
    put_all(store, UP, list(zip((1000, 2000, 3000), written, strict=True)))
    put_all(store, LOAD, [(1000, SMALL.hinted("gauge")), (2000, LARGE.hinted("gauge"))])

    found = every_sample(store)

    assert [h.hint for _, _, h in found[UP] if isinstance(h, Histogram)] == [
        "reset",
        "not_reset",
        "reset",
    ]
    assert [h.hint for _, _, h in found[LOAD] if isinstance(h, Histogram)] == ["gauge", "gauge"]


def test_a_histogram_and_a_float_replace_each_other(store: Store) -> None:
    """Of two samples with one time the later append stays, whatever the kinds."""
    put_all(store, UP, [(1000, 1.0), (2000, SMALL), (3000, SMALL), (4000, 4.0)])
    put_all(store, UP, [(1000, SMALL), (2000, 2.0), (3000, LARGE)], start=500)

    assert every_sample(store)[UP] == [
        (1000, 500, SMALL),
        (2000, 500, bits(2.0)),
        (3000, 500, LARGE),
        (4000, 0, bits(4.0)),
    ]


def test_a_histogram_between_scrapes(store: Store) -> None:
    """A series that is scraped as a float may have histograms too, in time order."""
    layout = store.layout([UP, LOAD])
    for ts in (1000, 2000, 3000):
        store.append(ScrapeBatch(layout, ts, np.array([1.0, 0.5]))).wait()
    put_all(store, UP, [(1500, SMALL), (3000, LARGE)])

    found = every_sample(store)

    assert found[UP] == [
        (1000, 0, bits(1.0)),
        (1500, 0, SMALL),
        (2000, 0, bits(1.0)),
        (3000, 0, LARGE),
    ]
    assert found[LOAD] == [(ts, 0, bits(0.5)) for ts in (1000, 2000, 3000)]


def test_start_timestamps_come_back(store: Store) -> None:
    """A start timestamp stays with its sample; 0 is none."""
    put_all(store, UP, [(3000, 3.0), (1000, 1.0)], start=900)
    put_all(store, UP, [(2000, 2.0)])
    put_all(store, LOAD, [(1000, 1.0)])

    found = every_sample(store)

    assert found[UP] == [(1000, 900, bits(1.0)), (2000, 0, bits(2.0)), (3000, 900, bits(3.0))]
    assert found[LOAD] == [(1000, 0, bits(1.0))]


def test_older_samples_after_newer_ones(store: Store) -> None:
    """An empty store takes samples from 1970 on, of other series after much newer ones."""
    put_all(store, UP, [(1_700_000_000_000, 1.0), (1_700_000_015_000, SMALL)])
    put_all(store, LOAD, [(0, 2.0), (15_000, SMALL)])
    put_all(store, UP, [(1, LARGE)])

    found = every_sample(store)

    assert [ts for ts, _, _ in found[UP]] == [1, 1_700_000_000_000, 1_700_000_015_000]
    assert [ts for ts, _, _ in found[LOAD]] == [0, 15_000]
    assert samples(store.select([], 0, 20_000, Hints())).keys() == {LOAD, UP}


def bits(value: float) -> int:
    """Return the bits of a float."""
    return int(np.float64(value).view(np.int64))


TRACE = Labels.of({"trace_id": "a1"})


def test_exemplars_come_back(store: Store) -> None:
    """Exemplars are found by any of several sets of matchers, by series and in time order."""
    refs = store.series([UP, LOAD, UP])
    written = [Exemplar(TRACE, 0.5, 1000), Exemplar(Labels(), 1.5, 2000), Exemplar(TRACE, 2, 3000)]
    store.append_exemplars(refs, written).wait()
    up = [Matcher("__name__", MatchOp.EQUAL, "up")]
    load = [Matcher("__name__", MatchOp.EQUAL, "load"), Matcher("job", MatchOp.EQUAL, "a")]

    found = store.exemplars([up, load, up], 1000, 3000)

    assert [(one.labels, one.exemplars) for one in found] == [
        (LOAD, (written[1],)),
        (UP, (written[0], written[2])),
    ]
    assert [one.exemplars for one in store.exemplars([up], 1001, 3000)] == [(written[2],)]
    assert not store.exemplars([load], 2001, 3000)
    assert not store.exemplars([], 0, 5000)


def test_exemplars_that_are_known_or_older_are_left_out(store: Store) -> None:
    """Each series' exemplars are only added at their end."""
    refs = store.series([UP])
    times = [2000, 2000, 1000, 3000]
    for ts in times:
        store.append_exemplars(refs, [Exemplar(TRACE, 1.0, ts)]).wait()

    (found,) = store.exemplars([[]], 0, 5000)

    assert [one.ts_ms for one in found.exemplars] == [2000, 3000]


def test_a_restart_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    """Before and after a restart of the real store the answers are the same, and appending goes on."""
    registry = CollectorRegistry()
    first = Tsdb(tmp_path, TsdbSettings(), FakeClock(), registry)
    first.start()
    put(first, "other", 1000, 1.0)
    put(first, "late", 500, 0.5)
    put(first, "late", 1000, 1.5)
    before = everything(first)
    first.stop()

    second = Tsdb(tmp_path, TsdbSettings(), FakeClock(), CollectorRegistry())
    second.start()
    between = everything(second)
    put(second, "other", 2000, 2.0)
    put(second, "scrape", 2000, 2.5)
    after = everything(second)
    second.stop()

    assert between == before == {UP: [(500, 0.5), (1000, 1.5)], LOAD: [(1000, 0.0)]}
    assert after == {UP: [(500, 0.5), (1000, 1.5), (2000, 2.5)], LOAD: [(1000, 0.0), (2000, 0.0)]}
