"""The store as a whole: blocks, retention, targets that change, what it tells of itself."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from model.errors import StorageError
from model.labels import Labels, Matcher, MatchOp
from model.samples import NO_SAMPLE, Exemplar, ScrapeBatch
from storage.interface import Hints
from storage.tsdb.db import Tsdb
from storage.tsdb.settings import HOUR_MS
from tests.fakes.clock import FakeClock
from tests.storage.points import points
from tests.storage.tsdb.opened import SETTINGS, START_MS, UP, Opened


def test_windows_become_blocks_and_the_log_goes(opened: Opened) -> None:
    """What is over is written to a block, its log is dropped, and queries see one series throughout."""
    opened.scrape(5 * 3600)
    opened.db.flush()
    before = opened.db.stats()

    opened.db.maintain()

    after = opened.db.stats()
    assert opened.blocks() == ["0000000001", "0000000002"]
    assert after.blocks == 2
    assert after.head_chunks < before.head_chunks
    assert opened.times() == list(range(15, 5 * 3600 + 1, 15))
    opened.again()
    assert opened.times() == list(range(15, 5 * 3600 + 1, 15))
    assert opened.times(START_MS + 3 * HOUR_MS) == list(range(3 * 3600, 5 * 3600 + 1, 15))


def test_the_log_does_not_grow_for_ever(tmp_path: Path) -> None:
    """Segments whose samples are all in blocks are deleted."""
    opened = Opened(tmp_path / "tsdb")
    opened.settings = replace(SETTINGS, segment_bytes=20_000)
    opened.again()
    for _ in range(12):
        opened.scrape(1800)
        refs = opened.db.series([UP])
        opened.db.append_samples(refs, np.array([5]), np.array([0.5])).wait()
        opened.db.maintain()

    kept = [p.name for p in sorted((tmp_path / "tsdb" / "wal").iterdir())]
    opened.db.stop()

    assert kept[0] > "00000002.wal"
    assert sum(p.stat().st_size for p in (tmp_path / "tsdb" / "wal").iterdir()) < 100_000


def test_exemplars_outlive_the_segment_they_were_written_to(tmp_path: Path) -> None:
    """When the log is cut off, exemplars that are still kept are written again."""
    opened = Opened(tmp_path / "tsdb")
    refs = opened.db.series([UP])
    written = []
    for number in range(4):
        one = Exemplar(Labels.of({"trace_id": str(number)}), 0.5, START_MS + number)
        written.append(one)
        opened.db.append_exemplars(refs, [one]).wait()
        opened.again()
        opened.scrape(3 * 3600)
        one = replace(one, value=1.5)
        written.append(one)
        opened.db.append_exemplars(refs, [one]).wait()
        opened.db.maintain()
        opened.again()
    names = [p.name for p in sorted((tmp_path / "tsdb" / "wal").iterdir())]

    (found,) = opened.db.exemplars([[]], 0, 2**62)
    opened.db.stop()

    assert "00000001.wal" not in names
    assert (found.labels, found.exemplars) == (UP, tuple(written))


@pytest.mark.parametrize(
    ("days", "size", "left"),
    [(0, 0, 5), (1 / 8, 0, 2), (15, 1, 1), (15, 2000, 2)],
)
def test_retention(opened: Opened, days: float, size: int, left: int) -> None:
    """Blocks past retention by age or by size go; the newest stays."""
    opened.settings = replace(SETTINGS, longest_block_ms=2 * HOUR_MS)
    opened.again()
    for _ in range(6):
        opened.scrape(2 * 3600, step=60)
        opened.db.maintain()
    opened.settings = replace(
        SETTINGS,
        retention_ms=int(days * 24 * HOUR_MS),
        retention_bytes=size,
        longest_block_ms=2 * HOUR_MS,
    )
    opened.again()
    sizes = {
        b: sum(p.stat().st_size for p in (opened.directory / "blocks" / b).iterdir())
        for b in opened.blocks()
    }
    assert len(sizes) == 5, sizes

    opened.db.maintain()

    assert len(opened.blocks()) == left, sizes


def test_old_samples_are_kept_from_when_they_were_taken_in(opened: Opened) -> None:
    """A sample from 1970 outlives its block's writing by the retention time."""
    refs = opened.db.series([UP])
    opened.db.append_samples(refs, np.array([60_000]), np.array([7.0])).wait()
    opened.clock.advance(3 * 3600)
    opened.scrape(3600)
    opened.db.maintain()
    opened.clock.advance(14 * 86_400)
    opened.scrape(4 * 3600)
    opened.db.maintain()
    kept = opened.db.select([], 0, 100_000, Hints()).labels.size
    opened.clock.advance(86_400)
    opened.scrape(4 * 3600)

    opened.db.maintain()

    assert kept == 1
    assert opened.db.select([], 0, 100_000, Hints()).labels.size == 0


def test_the_later_append_wins_across_blocks_and_restarts(opened: Opened) -> None:
    """A scrape of a time for which a block has a late sample already is the later one."""
    now = START_MS + 3_000_000
    opened.clock.advance(3600)
    opened.db.append_samples(opened.db.series([UP]), np.array([now]), np.array([1.0])).wait()
    opened.clock.advance(2 * 3600)
    opened.db.maintain()
    in_block = opened.db.stats()
    opened.again()

    opened.db.append(ScrapeBatch(opened.db.layout([UP]), now, np.array([2.0]))).wait()

    assert (in_block.blocks, in_block.late_samples) == (1, 0)
    assert points(opened.db.select([], 0, 2**62, Hints())) == {UP: [(now, 2.0)]}
    opened.again()
    assert points(opened.db.select([], 0, 2**62, Hints())) == {UP: [(now, 2.0)]}


def test_series_of_targets_that_are_gone_are_forgotten(opened: Opened) -> None:
    """Once nothing has samples of a series any more, it does not count and is not listed."""
    gone = Labels.of({"__name__": "gone"})
    opened.settings = replace(SETTINGS, retention_ms=6 * HOUR_MS)
    opened.again()
    opened.db.append(ScrapeBatch(opened.db.layout([gone]), START_MS + 1, np.array([1.0])))
    for _ in range(8):
        opened.scrape(2 * 3600, step=60)
        opened.db.maintain()

    assert opened.db.stats().series == 2
    assert opened.db.label_values("__name__", [], 0, 2**62) == ["load", "up"]


def test_a_target_that_changes_gives_its_rows_back(opened: Opened) -> None:
    """A target whose series change at every scrape does not fill the slab."""
    common = [Labels.of({"__name__": "m", "i": str(i)}) for i in range(100)]
    for number in range(50):
        opened.clock.advance(15)
        fresh = Labels.of({"__name__": "run", "id": str(number)})
        layout = opened.db.layout([*common, fresh])
        now = opened.clock.now_ns() // 1_000_000
        opened.db.append(ScrapeBatch(layout, now, np.full(101, float(number))))

    stats = opened.db.stats()
    found = points(opened.db.select([Matcher("__name__", MatchOp.EQUAL, "m")], 0, 2**62, Hints()))

    assert stats.head_rows == 101
    assert stats.series == 150
    assert {len(samples) for samples in found.values()} == {50}


def test_a_layout_that_rests_comes_back(opened: Opened) -> None:
    """A layout without samples for a while gives its rows back; its id is good all the same."""
    layout = opened.db.layout([UP])
    opened.db.append(ScrapeBatch(layout, START_MS + 1000, np.array([1.0])))
    opened.clock.advance(3600)
    opened.db.maintain()
    resting = opened.db.stats().head_rows

    opened.db.append(ScrapeBatch(layout, START_MS + 3_600_000, np.array([2.0])))

    assert resting == 0
    assert opened.db.layout([UP]) == layout
    found = points(opened.db.select([], 0, 2**62, Hints()))
    assert found == {UP: [(START_MS + 1000, 1.0), (START_MS + 3_600_000, 2.0)]}


@pytest.mark.parametrize(
    ("layout", "size", "message"),
    [(99, 1, "layout 99 is not known"), (1, 3, "has 3 values for 1 series")],
)
def test_a_scrape_that_cannot_be(opened: Opened, layout: int, size: int, message: str) -> None:
    """A wrong layout or size is said at once."""
    opened.db.layout([UP])

    with pytest.raises(StorageError, match=message):
        opened.db.append(ScrapeBatch(layout, START_MS, np.ones(size)))


def test_nothing_is_taken_before_the_start_and_after_the_end(tmp_path: Path) -> None:
    """A store that does not run says so, and may be stopped at any time."""
    db = Tsdb(tmp_path / "tsdb", SETTINGS, FakeClock(), CollectorRegistry())
    db.stop()
    with pytest.raises(StorageError, match="not running"):
        db.append_samples(db.series([UP]), np.array([1]), np.array([1.0]))
    db.start()
    ticket = db.append_samples(db.series([UP]), np.array([1]), np.array([1.0]))
    db.stop()
    db.stop()

    assert ticket.wait(0)
    with pytest.raises(StorageError, match="not running"):
        db.append(ScrapeBatch(db.layout([UP]), 5, np.array([1.0])))


def test_empty_appends_get_their_ticket(opened: Opened) -> None:
    """A target without series and a write without samples are acknowledged too."""
    empty = opened.db.append(ScrapeBatch(opened.db.layout([]), START_MS, np.empty(0)))
    none = np.empty(0, dtype=np.int64)

    assert empty.wait(5)
    assert opened.db.append_samples(none, none, np.empty(0)).wait(5)
    assert opened.db.append(ScrapeBatch(opened.db.layout([UP]), START_MS, NO_SAMPLE.copy())).wait(5)


def test_a_ticket_does_not_wait_for_the_interval(tmp_path: Path) -> None:
    """Who waits for a ticket has its group written at once."""
    settings = replace(SETTINGS, commit_ms=60_000)
    db = Tsdb(tmp_path / "tsdb", settings, FakeClock(), CollectorRegistry())
    db.start()

    assert db.append_samples(db.series([UP]), np.array([1]), np.array([1.0])).wait(5)
    db.stop()


def test_many_writers_and_readers(opened: Opened) -> None:
    """Threads that append, write blocks and query at the same time see every sample once."""
    problems: list[str] = []
    opened.settings = replace(SETTINGS, block_ms=60_000, block_delay_ms=0, maintain_seconds=0.01)
    opened.again()
    done = threading.Event()

    def write(name: str) -> None:
        labels = [Labels.of({"__name__": name, "i": str(i)}) for i in range(30)]
        layout = opened.db.layout(labels)
        for number in range(1, 400):
            ts = START_MS + number * 1000
            opened.db.append(ScrapeBatch(layout, ts, np.full(30, float(number))))
            if name == "m0":
                opened.clock.advance(1)
            if number % 10 == 0:
                time.sleep(0.005)

    def read() -> None:
        seen = 0
        while not done.is_set():
            found = points(opened.db.select([], START_MS, 2**62, Hints()))
            for labels, samples in found.items():
                values = [value for _, value in samples]
                if values != [float(n) for n in range(1, len(values) + 1)]:
                    problems.append(f"{labels}: {values}")
            counted = sum(map(len, found.values()))
            if counted < seen:
                problems.append(f"{counted} samples after {seen}")
            seen = counted

    writers = [threading.Thread(target=write, args=(f"m{n}",)) for n in range(2)]
    others = [threading.Thread(target=f) for f in (read, read)]
    for thread in writers + others:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in others:
        thread.join()

    opened.db.maintain()
    assert problems == []
    written = [name for name in opened.blocks() if name.isdigit()]  # one more may be begun
    assert int(max(written)) >= 5, "blocks were written and merged meanwhile"


def test_what_it_tells_of_itself(opened: Opened) -> None:
    """Counts, times and label cardinality are there for the status page."""
    opened.scrape(60)

    stats = opened.db.stats()

    assert (stats.series, stats.head_rows, stats.blocks) == (2, 2, 0)
    assert (stats.min_time_ms, stats.max_time_ms) == (START_MS + 15_000, START_MS + 60_000)
    assert stats.label_values == {"__name__": 2, "job": 1}
    assert stats.metric_series == {"load": 1, "up": 1}


def test_an_empty_store_has_no_times(opened: Opened) -> None:
    """Without samples there is no first and no last time."""
    stats = opened.db.stats()

    assert (stats.min_time_ms, stats.max_time_ms, stats.series) == (None, None, 0)
    assert opened.db.select([], 0, 2**62, Hints()).groups == ()
    assert opened.db.label_names([], 0, 2**62) == []
