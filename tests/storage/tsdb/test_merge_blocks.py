"""Blocks become fewer and longer, and hold what they held; crash, full disk and damage leave nothing half done."""

import errno
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from model.errors import StorageError
from model.labels import Labels, Matcher, MatchOp
from model.samples import NO_SAMPLE
from storage import failpoint
from storage.interface import Hints
from storage.tsdb.blockmeta import read_meta
from storage.tsdb.levels import lengths
from storage.tsdb.settings import HOUR_MS, TsdbSettings
from tests.storage.histograms import Histogram, column_of
from tests.storage.points import point_bits, points
from tests.storage.tsdb.opened import LOAD, SETTINGS, START_MS, UP, Opened

HOUR = 3600
ODD = Labels.of({"__name__": "odd"})


def late(opened: Opened, labels: Labels, seconds: list[int], value: float) -> None:
    """Append samples with their own times."""
    refs = opened.db.series([labels])
    ts = START_MS + np.array(seconds, dtype=np.int64) * 1000
    opened.db.append_samples(np.repeat(refs, len(ts)), ts, np.full(len(ts), value)).wait()


def windows(opened: Opened, count: int) -> None:
    """Let so many windows pass, each written to a block of its own."""
    opened.settings = replace(SETTINGS, longest_block_ms=1)
    opened.again()
    for number in range(count):
        opened.scrape(2 * HOUR, step=60)
        first = number * 2 * HOUR
        late(opened, ODD, [first + 7, first + 11], 5.0)
        late(opened, LOAD, [first + 30], START_MS / 1000 + first + 30)
        opened.clock.advance(600)
        opened.db.maintain()
        opened.clock.advance(-600)
    opened.settings = SETTINGS
    opened.again()


@pytest.mark.parametrize(
    ("days", "longest", "hours"),
    [(0, 0, [2, 6, 18, 54, 162, 486]), (15, 0, [2, 6, 18]), (1, 0, [2]), (15, 6, [2, 6])],
)
def test_lengths(days: int, longest: int, hours: list[int]) -> None:
    """Windows are three times as long at each step, up to a tenth of retention or what was set."""
    settings = TsdbSettings(retention_ms=days * 24 * HOUR_MS, longest_block_ms=longest * HOUR_MS)

    assert [length // HOUR_MS for length in lengths(settings)] == hours


def test_merging_changes_no_answer(opened: Opened) -> None:
    """Windows and their late samples become one block after the other; every sample stays, bit for bit."""
    windows(opened, 10)
    before = point_bits(opened.db.select([], 0, 2**62, Hints()))
    many = len(opened.blocks())
    taken = []
    for _ in range(20):
        opened.clock.advance(15)
        opened.db.maintain()
        taken.append(len(opened.blocks()))
        assert point_bits(opened.db.select([], 0, 2**62, Hints())) == before
    opened.again()

    assert many >= 19
    assert taken[-1] <= 3
    assert point_bits(opened.db.select([], 0, 2**62, Hints())) == before
    metas = [read_meta(opened.directory / "blocks" / b / "meta.json") for b in opened.blocks()]
    assert all(meta.mint >= START_MS + 16 * HOUR_MS for meta in metas if meta.late)
    assert sum(len(meta.replaces) for meta in metas) >= 3


def test_a_number_of_series_is_never_too_low(opened: Opened) -> None:
    """Whether the index of a block was read before, for some of its time, or not."""
    windows(opened, 10)
    for _ in range(20):
        opened.clock.advance(15)
        opened.db.maintain()
    opened.again()
    now = opened.clock.now_ns() // 1_000_000
    for length in (HOUR_MS, 5 * HOUR_MS, 40 * HOUR_MS):
        for end in (now, now - 11 * HOUR_MS, START_MS - HOUR_MS):
            at_most = opened.db.series_at_most(end - length, end)
            found = opened.db.select([], end - length, end, Hints(series_only=True))
            assert found.labels.size <= at_most


def test_histograms_are_folded_in_whole(opened: Opened) -> None:
    """Native histograms and start timestamps come out of a merge as they went in."""
    opened.scrape(7 * HOUR, step=60)
    refs = opened.db.series([ODD])
    for number in range(6):
        ts = START_MS + np.array([number * HOUR * 1000 + 500])
        opened.db.append_samples(
            refs,
            ts,
            NO_SAMPLE.copy(),
            start_ms=ts - 100,
            histograms=column_of([Histogram({0: number + 1, 3: 2.0}, sum=0.5, zero=1)]),
        )
    opened.db.maintain()
    odd = [Matcher("__name__", MatchOp.EQUAL, "odd")]

    def seen() -> list[tuple[list[int], list[float]]]:
        (group,) = opened.db.select(odd, 0, 2**62, Hints()).groups
        assert group.histograms is not None
        assert group.start_ms is not None
        rows = group.histograms.pool.take(group.histograms.index[0])
        return [(group.start_ms[0].tolist(), rows.count.tolist()), (rows.hint.tolist(), [])]

    before = seen()
    for _ in range(4):
        opened.db.maintain()

    metas = [read_meta(opened.directory / "blocks" / b / "meta.json") for b in opened.blocks()]
    assert any(len(meta.replaces) > 2 for meta in metas)
    assert seen() == before


@pytest.mark.parametrize("place", ["block.meta_written", "compact.merged", "block.removing"])
def test_a_merge_that_dies_is_done_again(
    opened: Opened, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a kill leaves of a merge, the next start finds every sample once."""
    windows(opened, 4)
    before = point_bits(opened.db.select([], 0, 2**62, Hints()))
    left = tmp_path / "left"

    def keep(reached: str) -> None:
        if reached == place and not left.exists():
            shutil.copytree(opened.directory, left)

    failpoint.arm(keep)
    try:
        opened.db.maintain()
    finally:
        failpoint.arm(None)
    after = Opened(left)
    again = point_bits(after.db.select([], 0, 2**62, Hints()))
    after.db.maintain()

    assert again == before
    assert point_bits(after.db.select([], 0, 2**62, Hints())) == before
    assert all(name.isdigit() for name in after.blocks())
    after.db.stop()


def test_a_full_disk_stops_merging_only(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a merge cannot be written reads and writes go on and nothing is left over; later it is done."""
    windows(opened, 4)
    before, many = opened.times(), opened.blocks()

    def full(fd: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("storage.tsdb.blockwriter.write_all", full)
        with pytest.raises(StorageError, match="No space left"):
            opened.db.maintain()
    during = opened.times()
    opened.db.maintain()
    paused = opened.blocks()
    opened.clock.advance(601)
    opened.db.maintain()

    assert during == before
    assert paused == many, "it is not tried again at once"
    assert len(opened.blocks()) < len(many)
    assert opened.times() == before


def test_no_room_is_seen_before(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A merge for which there is no room is not begun."""
    windows(opened, 4)
    many = opened.blocks()
    usage = shutil.disk_usage(opened.directory)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))

    with caplog.at_level(logging.WARNING):
        opened.db.maintain()

    assert opened.blocks() == many
    assert "no room to merge" in caplog.text


def test_a_damaged_block_is_not_merged(opened: Opened) -> None:
    """Blocks with damaged frames stay as they are; what can be read of them is read."""
    windows(opened, 4)
    frames = opened.directory / "blocks" / opened.blocks()[0] / "frames"
    data = bytearray(frames.read_bytes())
    data[-3] ^= 4
    frames.write_bytes(data)
    opened.again()
    before = points(opened.db.select([], 0, 2**62, Hints()))

    for _ in range(4):
        opened.db.maintain()

    assert frames.exists()
    assert points(opened.db.select([], 0, 2**62, Hints())) == before
    assert UP in before


def test_merged_blocks_are_past_retention_when_their_newest_is(opened: Opened) -> None:
    """A merged block goes as a whole, once nothing in it is wanted any more; by size the oldest goes first."""
    windows(opened, 4)
    opened.db.maintain()
    opened.settings = replace(SETTINGS, retention_ms=3 * HOUR_MS, longest_block_ms=6 * HOUR_MS)
    opened.again()
    opened.db.maintain()
    kept = opened.times()
    for _ in range(2):
        opened.scrape(2 * HOUR, step=60)
        opened.db.maintain()

    assert kept[0] == 30, "the block's newest sample is of less than three hours ago"
    assert opened.times()[0] >= 6 * HOUR
