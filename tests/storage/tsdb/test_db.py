"""The store as a whole: faults, blocks, retention, what it tells of itself."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from model.errors import StorageError
from model.labels import Labels, Matcher, MatchOp
from model.samples import NO_SAMPLE, ScrapeBatch
from storage.interface import Hints
from storage.tsdb.db import Tsdb
from storage.tsdb.settings import HOUR_MS, TsdbSettings
from tests.fakes.clock import FakeClock
from tests.storage.points import points

ROOT = Path(__file__).parents[3]
START_MS = 1_767_225_600_000  # a multiple of two hours
SETTINGS = TsdbSettings(maintain_seconds=3600.0, reserve_bytes=65_536)
UP = Labels.of({"__name__": "up", "job": "a"})
LOAD = Labels.of({"__name__": "load", "job": "a"})


class Opened:
    """A store with its clock; opens again on the same directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = FakeClock(START_MS)
        self.settings = SETTINGS
        self.db = self._open()

    def _open(self) -> Tsdb:
        db = Tsdb(self.directory, self.settings, self.clock, CollectorRegistry())
        db.start()
        return db

    def again(self) -> None:
        """Stop and start."""
        self.db.stop()
        self.db = self._open()

    def scrape(self, seconds: int, step: int = 15) -> None:
        """Scrape for some time; values are the scrape's time in seconds."""
        for _ in range(0, seconds, step):
            self.clock.advance(step)
            now = self.clock.now_ns() // 1_000_000
            layout = self.db.layout([UP, LOAD])
            self.db.append(ScrapeBatch(layout, now, np.array([1.0, now / 1000])))

    def times(self, start: int = 0) -> list[int]:
        """Return the times of the samples of ``load``, in seconds after the start."""
        matchers = [Matcher("__name__", MatchOp.EQUAL, "load")]
        found = points(self.db.select(matchers, start, 2**62, Hints()))
        samples = found.get(LOAD, [])
        assert all(value == ts / 1000 for ts, value in samples)
        return [(ts - START_MS) // 1000 for ts, _ in samples]

    def blocks(self) -> list[str]:
        """Return the names of the blocks on disk."""
        return sorted(p.name for p in (self.directory / "blocks").iterdir())


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Give a store in an empty directory."""
    one = Opened(tmp_path / "tsdb")
    yield one
    one.db.stop()


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


@pytest.mark.parametrize(
    ("days", "size", "left"),
    [(0, 0, 5), (1 / 8, 0, 2), (15, 1, 1), (15, 1500, 2)],
)
def test_retention(opened: Opened, days: float, size: int, left: int) -> None:
    """Blocks past retention by age or by size go; the newest stays."""
    for _ in range(6):
        opened.scrape(2 * 3600, step=60)
        opened.db.maintain()
    opened.settings = replace(SETTINGS, retention_ms=int(days * 24 * HOUR_MS), retention_bytes=size)
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


def test_a_full_disk_is_said_and_overcome(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing can be written tickets fail, reads go on; with room again all is as before."""
    refs = opened.db.series([UP])
    opened.db.append_samples(refs, np.array([1000]), np.array([1.0])).wait()

    def full(fd: int, data: bytes) -> None:
        os.write(fd, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("storage.tsdb.wal.write_all", full)
        ticket = opened.db.append_samples(refs, np.array([2000]), np.array([2.0]))
        with pytest.raises(StorageError, match=r"\.wal: cannot write: No space left"):
            ticket.wait()
        during = points(opened.db.select([], 0, 10_000, Hints()))
    opened.db.append_samples(refs, np.array([3000]), np.array([3.0])).wait()
    opened.again()

    assert during == {UP: [(1000, 1.0)]}
    assert points(opened.db.select([], 0, 10_000, Hints())) == {UP: [(1000, 1.0), (3000, 3.0)]}


def test_blocks_wait_for_room(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that cannot be written leaves nothing behind and is written in a later round."""
    opened.scrape(3 * 3600)

    def full(fd: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("storage.tsdb.block.write_all", full)
        with pytest.raises(StorageError, match="No space left"):
            opened.db.maintain()
    nothing, reserved = opened.blocks(), (opened.directory / "reserve").exists()
    opened.db.maintain()

    assert nothing == []
    assert not reserved, "the room that was kept for this is given up"
    assert (opened.directory / "reserve").stat().st_blocks * 512 >= 65_536
    assert opened.blocks() == ["0000000001"]
    assert opened.times() == list(range(15, 3 * 3600 + 1, 15))


@pytest.mark.root
def test_a_really_full_disk(tmp_path: Path) -> None:
    """The same on a file system of one megabyte that another file fills."""
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(mount)], check=True)
    try:
        opened = Opened(mount / "tsdb")
        refs = opened.db.series([UP])
        opened.db.append_samples(refs, np.array([1000]), np.array([1.0])).wait()
        hog = mount / "hog"
        subprocess.run(["dd", "if=/dev/zero", f"of={hog}"], check=False, capture_output=True)
        many = np.arange(4000) + 5000
        noise = np.random.default_rng(0).random(4000)
        with pytest.raises(StorageError, match="No space left"):
            opened.db.append_samples(np.repeat(refs, 4000), many, noise).wait()
        hog.unlink()
        opened.db.append_samples(refs, np.array([2000]), np.array([2.0])).wait()
        opened.again()
        found = points(opened.db.select([], 0, 2**62, Hints()))
        opened.db.stop()
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)

    assert found == {UP: [(1000, 1.0), (2000, 2.0)]}


def test_a_failed_fsync_goes_to_a_new_segment(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed fsync the descriptor is left, and what was not synced is written again."""
    calls = []

    def broken_once(fd: int) -> None:
        calls.append(fd)
        if len(calls) == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("os.fdatasync", broken_once)
    opened.scrape(60)
    opened.db.flush()
    wal = sorted((opened.directory / "wal").iterdir())
    opened.again()
    monkeypatch.undo()
    wal[0].unlink()
    opened.again()

    assert len(wal) == 2
    assert opened.times() == [15, 30, 45, 60]


def test_a_second_process_is_kept_out(opened: Opened) -> None:
    """Who opens a directory in use is told so, and by whom."""
    script = (
        "import sys, pathlib; from prometheus_client import CollectorRegistry\n"
        "from storage.tsdb.db import Tsdb; from storage.tsdb.settings import TsdbSettings\n"
        "from tests.fakes.clock import FakeClock\n"
        "Tsdb(pathlib.Path(sys.argv[1]), TsdbSettings(), FakeClock(), CollectorRegistry()).start()"
    )

    found = subprocess.run(
        [sys.executable, "-c", script, str(opened.directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 1
    assert f"is in use by another Taskscope (process {os.getpid()})" in found.stderr


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    """A directory of a later format is not touched."""
    directory = tmp_path / "tsdb"
    directory.mkdir()
    (directory / "format.json").write_text('{"format": 2}')

    with pytest.raises(StorageError, match=r"format\.json: format 2 is unknown here"):
        Opened(directory)
    (directory / "format.json").write_text('{"format": 1}')
    Opened(directory).db.stop()


def test_a_block_of_an_unknown_version_is_refused(opened: Opened) -> None:
    """A block of a later version is not guessed at."""
    opened.scrape(3 * 3600)
    opened.db.maintain()
    meta = opened.directory / "blocks" / "0000000001" / "meta.json"
    meta.write_text(json.dumps({**json.loads(meta.read_text()), "version": 9}))

    with pytest.raises(StorageError, match=r"meta\.json: block version 9 is unknown"):
        opened.again()


def test_a_damaged_block_is_an_error_not_a_wrong_answer(opened: Opened) -> None:
    """A query that needs damaged frames fails and names the block; others go on."""
    opened.scrape(3 * 3600)
    opened.db.maintain()
    frames = opened.directory / "blocks" / "0000000001" / "frames"
    frames.write_bytes(frames.read_bytes()[:200] + bytes(len(frames.read_bytes()) - 200))
    opened.again()

    with pytest.raises(StorageError, match=r"0000000001"):
        opened.times()
    assert opened.times(START_MS + 2 * HOUR_MS + 1)[0] == 2 * 3600 + 15


def test_what_was_never_finished_is_taken_away(opened: Opened) -> None:
    """Directories of blocks that a kill left half-written or half-deleted are removed at the start."""
    for name in ("0000000007.tmp", "0000000003.gone"):
        path = opened.directory / "blocks" / name
        path.mkdir()
        (path / "frames").write_bytes(b"x")

    opened.again()

    assert opened.blocks() == []


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
    assert opened.db.stats().blocks >= 5


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
