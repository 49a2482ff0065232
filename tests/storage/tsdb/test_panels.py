"""Selections read from panels give what is given sample by sample, and are read from panels at all."""

import random
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import pytest

from model.labels import Labels, Matcher, MatchOp
from model.samples import STALE_BITS, ScrapeBatch, no_samples
from storage.interface import Hints, SeriesSet
from storage.tsdb import query
from tests.storage.histograms import Histogram, column_of
from tests.storage.points import point_bits, samples
from tests.storage.tsdb.opened import START_MS, Opened

TARGETS = [
    [Labels.of({"__name__": f"m{i % 3}", "target": str(t), "i": str(i)}) for i in range(12)]
    for t in range(4)
]
LATE = [Labels.of({"__name__": f"m{i % 3}", "late": "x", "i": str(i)}) for i in range(30)]
ALL = [Matcher("__name__", MatchOp.REGEX, "m.*")]
STEP_MS = 15_000


def scraped(opened: Opened, steps: int, offset_ms: int = 1700, stale: float = 0.0) -> None:
    """Scrape every target, each at its own time, and write samples with their own times."""
    rng = random.Random(steps)
    for _ in range(steps):
        opened.clock.advance(STEP_MS / 1000)
        now = opened.clock.now_ns() // 1_000_000
        for number, labels in enumerate(TARGETS):
            values = np.array([float(rng.randrange(100)) for _ in labels])
            if rng.random() < stale:
                values.view(np.int64)[rng.randrange(len(values))] = STALE_BITS
            layout = opened.db.layout(labels)
            opened.db.append(ScrapeBatch(layout, now + number * offset_ms, values))
        refs = opened.db.series(LATE)
        values = np.array([float(rng.randrange(100)) for _ in LATE])
        opened.db.append_samples(refs, np.full(len(LATE), now), values)


def slowly(opened: Opened, mint: int, maxt: int, hints: Hints) -> SeriesSet:
    """Select without panels."""
    querier = opened.db._querier
    with patch.object(querier._panels, "cut", lambda *_: None):
        return opened.db.select(ALL, mint, maxt, hints)


def fill_lane(opened: Opened) -> None:
    """A few columns in the slab and in the lane."""
    scraped(opened, 20)


def fill_chunks(opened: Opened) -> None:
    """Chunks are sealed, runs are made."""
    scraped(opened, 300)


def fill_blocks(opened: Opened) -> None:
    """Windows that are over stand in blocks, also late ones."""
    scraped(opened, 4 * 240)
    opened.db.maintain()
    scraped(opened, 40)


def fill_with_gaps(opened: Opened) -> None:
    """Now and then a series goes stale."""
    scraped(opened, 150, stale=0.2)


def fill_again(opened: Opened) -> None:
    """Half of the late samples come twice, the second time with another value."""
    scraped(opened, 30)
    refs = opened.db.series(LATE[:15])
    for back in range(10):
        at = opened.clock.now_ns() // 1_000_000 - back * STEP_MS
        opened.db.append_samples(refs, np.full(15, at), np.arange(15.0))
    opened.db._head.lane.tidy()


def fill_between(opened: Opened) -> None:
    """Scraped series get samples between their scrapes."""
    scraped(opened, 30)
    refs = opened.db.series(TARGETS[1])
    for back in range(10):
        at = opened.clock.now_ns() // 1_000_000 - back * STEP_MS - 4000
        opened.db.append_samples(refs, np.full(len(refs), at), np.arange(float(len(refs))))


def typed(opened: Opened, steps: int) -> None:
    """Late series of three kinds: floats, floats with start timestamps, native histograms; some begin anew."""
    rng = random.Random(steps)
    for step in range(steps):
        opened.clock.advance(STEP_MS / 1000)
        now = opened.clock.now_ns() // 1_000_000
        refs = opened.db.series(LATE)
        row: list[float | Histogram] = [
            Histogram({i % 4: step % 40 + 1.0, 5: rng.randrange(3) + 2.0 * (step % 40)}, sum=step)
            if i % 3 == 0
            else float(step)
            for i in range(len(LATE))
        ]
        values = no_samples(30)
        floats = [not isinstance(one, Histogram) for one in row]
        values[floats] = [one for one in row if isinstance(one, float)]
        starts = np.array([START_MS + i * (step // 60) if i % 3 == 1 else 0 for i in range(30)])
        opened.db.append_samples(
            refs, np.full(30, now), values, start_ms=starts, histograms=column_of(row)
        )


def fill_typed_lane(opened: Opened) -> None:
    """Histograms and start timestamps wait in the lane."""
    typed(opened, 20)


def fill_typed_runs(opened: Opened) -> None:
    """Some stand in runs, some wait behind them."""
    for _ in range(3):
        typed(opened, 20)
        opened.db._head.lane.tidy()
    typed(opened, 20)


def fill_typed_blocks(opened: Opened) -> None:
    """Histograms and start timestamps stand in blocks, runs, and wait."""
    typed(opened, 4 * 240)
    opened.db.maintain()
    typed(opened, 40)
    opened.db._head.lane.tidy()
    typed(opened, 3)


def fill_typed_and_scraped(opened: Opened) -> None:
    """Everything at once, histograms in series that were floats before."""
    scraped(opened, 4 * 240)
    typed(opened, 100)
    opened.db.maintain()
    scraped(opened, 30)
    typed(opened, 20)


def fill_deleted(opened: Opened) -> None:
    """Of some series a range is deleted in a block that nobody wrote again, of one everything, and some in memory."""
    scraped(opened, 4 * 240)
    opened.db.maintain()
    scraped(opened, 40)
    now = opened.clock.now_ns() // 1_000_000
    some = [Matcher("target", MatchOp.REGEX, "1|2"), Matcher("i", MatchOp.REGEX, "1?[02]")]
    late = [Matcher("late", MatchOp.EQUAL, "x"), Matcher("i", MatchOp.REGEX, "1.")]
    opened.db.delete_series([some, late], now - 7_200_000, now - 5_000_000)
    opened.db.delete_series([late], now - 6_000_000, now - 4_000_000)
    opened.db.delete_series([[Matcher("target", MatchOp.EQUAL, "3")]], 0, 2**62)


def fill_typed_deleted(opened: Opened) -> None:
    """Histograms and start timestamps are deleted in a block and in memory."""
    fill_typed_blocks(opened)
    now = opened.clock.now_ns() // 1_000_000
    some = [Matcher("i", MatchOp.REGEX, "1.")]
    opened.db.delete_series([some], now - 7_200_000, now - 5_000_000)
    opened.db.delete_series([some], now - 400_000, now - 200_000)


def fill_own_times(opened: Opened) -> None:
    """Series with times of their own, in blocks and in memory."""
    for _ in range(4 * 200):
        opened.clock.advance(STEP_MS / 1000)
        now = opened.clock.now_ns() // 1_000_000
        refs = opened.db.series(LATE)
        opened.db.append_samples(refs, now - np.arange(30) * 400, np.arange(30.0))
    opened.clock.advance(4 * 3600)
    opened.db.maintain()
    scraped(opened, 10)


TYPED = [
    fill_typed_lane,
    fill_typed_runs,
    fill_typed_blocks,
    fill_typed_and_scraped,
    fill_typed_deleted,
]


def fill_with_one_gap(opened: Opened) -> None:
    """One frame of a target has a gap, and series before and behind it have none."""
    labels = [Labels.of({"__name__": f"m{i // 60}", "i": str(i), "wide": "x"}) for i in range(180)]
    for step in range(200):
        opened.clock.advance(STEP_MS / 1000)
        now = opened.clock.now_ns() // 1_000_000
        values = np.arange(180.0) + step
        if step == 30:
            values.view(np.int64)[70] = STALE_BITS
        opened.db.append(ScrapeBatch(opened.db.layout(labels), now, values))


FILLS = [
    fill_with_one_gap,
    fill_lane,
    fill_chunks,
    fill_blocks,
    fill_with_gaps,
    fill_again,
    fill_between,
    fill_own_times,
    fill_deleted,
    *TYPED,
]


@pytest.mark.parametrize("fill", FILLS)
def test_panels_give_what_samples_give(opened: Opened, fill: Callable[[Opened], None]) -> None:
    """Whatever head, lane and blocks hold, and whichever range is asked for."""
    fill(opened)
    now = opened.clock.now_ns() // 1_000_000
    for length in (0, 20_000, 300_000, 3_600_000, 2**40):
        for end in (now + 10_000, now - 7_000, now - 1_800_000):
            wanted = samples(slowly(opened, end - length, end, Hints()))
            assert samples(opened.db.select(ALL, end - length, end, Hints())) == wanted
            last = samples(opened.db.select(ALL, end - length, end, Hints(last_only=True)))
            ends = {labels: found[-1] for labels, found in last.items()}
            assert ends == {labels: found[-1] for labels, found in wanted.items()}


READ_SLOWLY = [
    fill_typed_and_scraped
]  # scraped series get late samples between, each in its own way


@pytest.mark.parametrize("fill", [fill for fill in FILLS if fill not in READ_SLOWLY])
def test_panels_are_used(opened: Opened, fill: Callable[[Opened], None]) -> None:
    """No sample is looked at by itself where series share their times."""
    fill(opened)
    with patch.object(query, "assemble", side_effect=AssertionError):
        found = opened.db.select(ALL, START_MS, 2**60, Hints())
    assert found.labels.size >= len(LATE)


def test_what_is_remembered_grows_with_the_store(opened: Opened) -> None:
    """Series that come later are found by matchers that were asked before, with all their labels."""
    scraped(opened, 3)
    before = opened.db.select(ALL, START_MS, 2**60, Hints()).labels.size
    fresh = Labels.of({"__name__": "m9", "new_label": "v"})
    now = opened.clock.now_ns() // 1_000_000
    opened.db.append_samples(opened.db.series([fresh]), np.array([now]), np.array([7.0]))
    found = opened.db.select(ALL, START_MS, 2**60, Hints())
    assert found.labels.size == before + 1
    assert point_bits(found)[fresh] == [(now, np.array(7.0).view(np.int64).item())]


def test_dropped_rows_are_not_read(opened: Opened) -> None:
    """A target that gave its rows back is found in chunks, another one in its rows."""
    scraped(opened, 10)
    opened.db.select(ALL, START_MS, 2**60, Hints())
    opened.clock.advance(3600)
    opened.db.maintain()
    other = [Labels.of({"__name__": "m0", "other": str(i)}) for i in range(12)]
    now = opened.clock.now_ns() // 1_000_000
    opened.db.append(ScrapeBatch(opened.db.layout(other), now, np.arange(12.0)))
    wanted = point_bits(slowly(opened, START_MS, 2**60, Hints()))
    assert point_bits(opened.db.select(ALL, START_MS, 2**60, Hints())) == wanted
    assert len(wanted) == len(LATE) + 48 + 12


def test_series_around_a_gap_are_read(opened: Opened) -> None:
    """Series of frames that lie before and behind one with a gap are dense, whichever are asked for."""
    fill_with_one_gap(opened)
    for names, dense in (("m0", {True}), ("m0|m2", {True}), ("m1", {True, False})):
        matchers = [Matcher("__name__", MatchOp.REGEX, names)]
        found = opened.db.select(matchers, START_MS, 2**60, Hints())
        assert {group.dense for group in found.groups} == dense
    around = [Matcher("i", MatchOp.REGEX, "5.|1[234].")]
    with patch.object(opened.db._querier._panels, "cut", lambda *_: None):
        wanted = samples(opened.db.select(around, START_MS, 2**60, Hints()))
    assert samples(opened.db.select(around, START_MS, 2**60, Hints())) == wanted


@pytest.mark.slow
def test_one_wide_histogram_does_not_widen_the_others_in_panels(opened: Opened) -> None:
    """What is decoded or laid out for queries takes about the room of what is in it."""
    narrow, wide = Histogram({1: 2.0, 20: 1.0}), Histogram({0: 1.0, 3000: 1.0})
    for step in range(4 * 240 + 20):
        opened.clock.advance(STEP_MS / 1000)
        now = opened.clock.now_ns() // 1_000_000
        refs = opened.db.series(LATE)
        row: list[float | Histogram] = [narrow] * 30
        if step % 16 == 0:
            row[7] = wide
        column = column_of(row)
        opened.db.append_samples(refs, np.full(30, now), no_samples(30), histograms=column)
        if step in (4 * 240, 4 * 240 + 10):
            opened.db.maintain()
            opened.db._head.lane.tidy()
    end = opened.clock.now_ns() // 1_000_000
    others = [Matcher("i", MatchOp.NOT_EQUAL, "7"), Matcher("late", MatchOp.EQUAL, "x")]
    opened.db.select(ALL, end - 3_600_000, end, Hints())
    found = opened.db.select(others, 0, end, Hints())
    assert found.labels.size == 29
    for group in found.groups:
        assert group.histograms is not None
        assert group.histograms.pool.positive.shape[1] <= 64
    reader = opened.db._querier._panels
    decoded = [one.nbytes for one, _ in reader._cache._kept.values()]
    assert max(decoded) < 80 << 20
