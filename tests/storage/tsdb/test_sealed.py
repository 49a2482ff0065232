"""Sealed chunks in the log: a start adopts them, and answers as one that has only the scrapes."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from model.labels import Labels
from model.samples import NO_SAMPLE, STALE, Floats, Ints, ScrapeBatch
from storage.interface import Hints, Refs
from storage.tsdb import records
from storage.tsdb.chunk import Chunk, encode_chunk
from storage.tsdb.files import write_all
from storage.tsdb.records import Damage, Kind
from tests.storage.points import point_bits
from tests.storage.tsdb.opened import Opened
from tests.storage.tsdb.test_delete import EVER, named

WIDTH, KEPT = 12, 4  # a slab that is full soon
TARGETS = [
    [Labels.of({"__name__": name, "i": str(i), "job": job}) for name in names for i in range(30)]
    for job, names in (("one", "cab"), ("two", "bcd"))
]

Found = dict[Labels, list[tuple[int, int]]]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a layout be sealed after a few scrapes."""
    widths(monkeypatch, WIDTH, KEPT)


def widths(patch: pytest.MonkeyPatch, width: int, kept: int) -> None:
    """Let layouts be sealed at another width."""
    for module in ("head", "backlog"):
        patch.setattr(f"storage.tsdb.{module}.WIDTH", width)
        patch.setattr(f"storage.tsdb.{module}.KEPT", kept)


@pytest.fixture
def compressed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give the widths of the chunks that were compressed."""
    seen: list[int] = []

    def counted(refs: Refs, bounds: Ints, ts_ms: Ints, values: Floats) -> Chunk:
        seen.append(ts_ms.shape[1])
        return encode_chunk(refs, bounds, ts_ms, values)

    monkeypatch.setattr("storage.tsdb.head.encode_chunk", counted)
    return seen


def scrape(opened: Opened, count: int, *, targets: int = 2) -> None:
    """Scrape targets in turn; a sample is missing now and then, or the series ends."""
    rng = np.random.default_rng(opened.clock.now_ns() // 10**9)
    for _ in range(count):
        opened.clock.advance(15)
        now = opened.clock.now_ns() // 1_000_000
        for number, labels in enumerate(TARGETS[:targets]):
            values = np.round(rng.random(len(labels)) * 100, 2)
            values[rng.integers(len(labels))] = NO_SAMPLE[0]
            values[rng.integers(len(labels))] = STALE[0]
            layout = opened.db.layout(labels)
            opened.db.append(ScrapeBatch(layout, now + number, values)).wait()


def found(opened: Opened) -> Found:
    """Return all that is there, as bits: stale markers are equal then."""
    return point_bits(opened.db.select([], *EVER, Hints()))


def log_of(opened: Opened) -> list[Path]:
    """Return the segments."""
    return sorted((opened.directory / "wal").glob("*.wal"))


def split(data: bytes) -> Iterator[tuple[Kind, int, int]]:
    """Yield the kind of each record, where it begins and where it ends."""
    at = len(records.SEGMENT_HEAD)
    for item in records.read(data):
        assert not isinstance(item, Damage)
        stop = at + len(records.frame(Kind.METADATA, b"")) + len(item[1])
        yield item[0], at, stop
        at = stop


def sealed_in(path: Path) -> list[tuple[int, int]]:
    """Return where the sealed chunks of a segment are."""
    return [(a, b) for kind, a, b in split(path.read_bytes()) if kind is Kind.SEALED]


def without_sealed(opened: Opened, directory: Path) -> Opened:
    """Open a copy whose log is what version 2 wrote."""
    shutil.copytree(opened.directory, directory)
    for path in sorted((directory / "wal").glob("*.wal")):
        data = path.read_bytes()
        kept = [data[a:b] for kind, a, b in split(data) if kind is not Kind.SEALED]
        path.write_bytes(records.SEGMENT_HEAD[:-1] + b"\x02" + b"".join(kept))
    return reopened(opened, directory)


def reopened(opened: Opened, directory: Path) -> Opened:
    """Open a directory at the time that it is there."""
    other = object.__new__(Opened)
    other.directory, other.clock, other.settings = directory, opened.clock, opened.settings
    other.db = other._open()
    return other


def compare(opened: Opened, scratch: Path, before: Found) -> None:
    """Start again, with the sealed chunks and without: all is there both times."""
    opened.again()
    assert found(opened) == before
    other = without_sealed(opened, scratch)
    try:
        assert found(other) == before
    finally:
        other.db.stop()


def test_a_start_compresses_nothing_again(
    opened: Opened, compressed: list[int], tmp_path: Path
) -> None:
    """What was sealed before the end is adopted, byte for byte; the answers are those of the scrapes alone."""
    scrape(opened, 45)
    before, chunks = found(opened), opened.db._head.sealed
    made = len(compressed)
    compressed.clear()
    opened.again()
    after = opened.db._head.sealed

    assert made == len(chunks) == 2 * 5
    assert compressed == []
    assert [(c.mint, c.maxt, c.frames.frame(0)) for c in after] == [
        (c.mint, c.maxt, c.frames.frame(0)) for c in chunks
    ]
    compare(opened, tmp_path / "other", before)


def test_what_is_adopted_is_sealed_on(
    opened: Opened, compressed: list[int], tmp_path: Path
) -> None:
    """The next chunk after a start has columns of before it, and is adopted at the start after that."""
    scrape(opened, 20)
    opened.again()
    scrape(opened, 20)
    opened.again()
    compressed.clear()
    opened.again()

    assert compressed == []
    compare(opened, tmp_path / "other", found(opened))


def test_series_that_a_new_target_takes_over(
    opened: Opened, compressed: list[int], tmp_path: Path
) -> None:
    """A target that gets a series more has another layout: what the old one had is sealed and adopted."""
    scrape(opened, 10)
    more = [*TARGETS[0], Labels.of({"__name__": "more"})]
    for _ in range(20):
        opened.clock.advance(15)
        now = opened.clock.now_ns() // 1_000_000
        opened.db.append(ScrapeBatch(opened.db.layout(more), now, np.arange(91.0))).wait()
    before = found(opened)
    compressed.clear()
    opened.again()

    assert compressed == []
    compare(opened, tmp_path / "other", before)


def test_chunks_that_are_logged_before_their_newest_columns(
    opened: Opened, compressed: list[int], tmp_path: Path
) -> None:
    """In one group many scrapes stand behind the chunks that were made of them."""
    opened.settings = replace(opened.settings, commit_ms=60_000, commit_bytes=1 << 30)
    opened.again()
    layout = opened.db.layout(TARGETS[0])
    for step in range(50):
        values = np.full(90, float(step))
        opened.db.append(ScrapeBatch(layout, opened.clock.now_ns() // 10**6 + step, values))
    opened.db.flush()
    before = found(opened)
    compressed.clear()
    opened.again()

    assert compressed == []
    compare(opened, tmp_path / "other", before)


@pytest.mark.parametrize("size", [4000, 20_000])
def test_segments_that_end_between_scrapes_and_their_chunk(
    opened: Opened, compressed: list[int], tmp_path: Path, size: int
) -> None:
    """A chunk in a segment behind its scrapes is adopted, though numbers mean something else there."""
    opened.settings = replace(opened.settings, segment_bytes=size)
    opened.again()
    scrape(opened, 45)
    before = found(opened)
    compressed.clear()
    opened.again()

    assert len(log_of(opened)) > 3
    assert compressed == []
    compare(opened, tmp_path / "other", before)


def test_names_that_are_numbered_otherwise(opened: Opened) -> None:
    """The order of a chunk's series is its own: without the first segment names have other numbers."""
    first = [Labels.of({"__name__": name}) for name in "dbac"]
    opened.db.append(ScrapeBatch(opened.db.layout(first), 1000, np.zeros(4))).wait()
    opened.db._wal.begin_segment()
    scrape(opened, 45)
    before = {labels: some for labels, some in found(opened).items() if labels not in first}
    opened.db.stop()
    log_of(opened)[0].unlink()
    opened.db = opened._open()

    assert found(opened) == before
    assert opened.db._head.sealed


@pytest.mark.parametrize(("width", "kept"), [(20, 4), (9, 2), (96, 24)])
def test_a_log_of_another_width(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, width: int, kept: int
) -> None:
    """What was sealed at another width than is used now is adopted where it fits, and lost nowhere."""
    scrape(opened, 60)
    widths(monkeypatch, width, kept)

    compare(opened, tmp_path / "other", found(opened))


@pytest.mark.parametrize("block_ms", [60_000, 100_000, 7_200_000])
def test_a_log_of_other_blocks(opened: Opened, tmp_path: Path, block_ms: int) -> None:
    """Chunks are cut at the edges of blocks; after some were written, those before are left out."""
    opened.settings = replace(opened.settings, block_ms=75_000, block_delay_ms=0)
    opened.again()
    scrape(opened, 40)
    opened.db.maintain()
    scrape(opened, 17)
    before = found(opened)
    assert len(opened.blocks()) > 1

    compare(opened, tmp_path / "same", before)
    opened.settings = replace(opened.settings, block_ms=block_ms)
    compare(opened, tmp_path / "other", before)
    opened.db.maintain()
    assert found(opened) == before


@pytest.mark.parametrize("until", [5, 11, 13, 30])
def test_what_was_deleted_stays_deleted(opened: Opened, tmp_path: Path, until: int) -> None:
    """A deletion before, between and after the sealing of what it deletes."""
    scrape(opened, until)
    first, last = 15_000 * 3, opened.clock.now_ns() // 1_000_000 - 15_000
    opened.db.delete_series([named("a"), named("b")], first, last)
    scrape(opened, 30)

    compare(opened, tmp_path / "other", found(opened))


def test_a_failed_fsync(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, compressed: list[int], tmp_path: Path
) -> None:
    """What is written again has no chunks; those that were written first are adopted if they are there."""
    scrape(opened, 30)
    failures = [OSError(errno.EIO, "no")]
    real = os.fdatasync

    def fdatasync(fd: int) -> None:
        if failures:
            raise failures.pop()
        real(fd)

    monkeypatch.setattr("os.fdatasync", fdatasync)
    opened.db.flush()
    scrape(opened, 30)
    logged = sum(len(sealed_in(path)) for path in log_of(opened))

    assert len(log_of(opened)) == 2
    assert logged == len(compressed)
    compare(opened, tmp_path / "other", found(opened))


def test_a_chunk_that_there_is_no_room_for(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Scrapes are logged without it: their tickets are good and nothing counts as failed."""
    kinds = []

    def full(fd: int, data: bytes) -> None:
        kinds.append({kind for kind, *_ in split(records.SEGMENT_HEAD + data)})
        if Kind.SEALED in kinds[-1]:
            os.write(fd, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_all(fd, data)

    monkeypatch.setattr("storage.tsdb.wal.write_all", full)
    scrape(opened, 30)
    before = found(opened)

    assert sum(Kind.SEALED in some for some in kinds) == 2 * 3
    assert opened.failures("wal_write") == 0
    assert not any(sealed_in(path) for path in log_of(opened))
    compare(opened, tmp_path / "other", before)


def flip(data: bytearray, at: int) -> bytes:
    """Change one byte."""
    data[at] ^= 0x41
    return bytes(data)


def cut_out(data: bytearray, at: int) -> bytes:
    """Lose three bytes."""
    del data[at : at + 3]
    return bytes(data)


EVERY_BYTE = pytest.param(1, marks=[pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)])


@pytest.mark.parametrize("every", [61, EVERY_BYTE])
@pytest.mark.parametrize("harm", [flip, cut_out])
def test_a_damaged_chunk_loses_nothing(
    opened: Opened, tmp_path: Path, harm: Callable[[bytearray, int], bytes], every: int
) -> None:
    """Whatever byte of it is wrong: the scrapes hold all, and no more than one place counts as damaged."""
    scrape(opened, 30, targets=1)
    before = found(opened)
    opened.db.stop()
    path = log_of(opened)[0]
    data = path.read_bytes()
    _, (start, stop), _ = sealed_in(path)
    adopted = set()
    for at in range(start, stop - 2, every):  # three bytes further stands the scrape
        path.write_bytes(harm(bytearray(data), at))
        other = reopened(opened, opened.directory)
        assert found(other) == before, at
        assert other.failures("wal_damaged") <= 1
        adopted.add(len(other.db._head.sealed))
        other.db.stop()
        for made in log_of(opened)[1:]:
            made.unlink()

    assert adopted == {3}


@pytest.mark.parametrize("number", [0, 7, 15, 29])
def test_scrapes_that_are_damaged(opened: Opened, number: int) -> None:
    """A scrape that is lost is lost, and no other: the chunk that it was in does not fit any more."""
    scrape(opened, 30, targets=1)
    before = found(opened)
    opened.db.stop()
    path = log_of(opened)[0]
    data = bytearray(path.read_bytes())
    scrapes = [(a, b) for kind, a, b in split(bytes(data)) if kind is Kind.SCRAPES]
    data[scrapes[number][1] - 1] ^= 0x40
    path.write_bytes(data)
    opened.db = opened._open()
    times = sorted({ts for some in before.values() for ts, _ in some})

    assert found(opened) == {
        labels: [one for one in some if one[0] != times[number]] for labels, some in before.items()
    }
    assert opened.failures("wal_damaged") == 1


def test_a_chunk_of_series_that_are_not_defined(opened: Opened) -> None:
    """With a part of the definitions chunks are left out and scrapes read for the series that are known."""
    part = TARGETS[0][:10]
    opened.db.append_samples(opened.db.series(part), np.full(10, 5), np.zeros(10)).wait()
    scrape(opened, 30, targets=1)
    before = found(opened)
    opened.db.stop()
    path = log_of(opened)[0]
    data = bytearray(path.read_bytes())
    second = [(a, b) for kind, a, b in split(bytes(data)) if kind is Kind.SERIES][1]
    data[second[1] - 1] ^= 0x40
    path.write_bytes(data)
    opened.db = opened._open()

    assert found(opened) == {labels: before[labels] for labels in part}
