"""The write-ahead log read back: whole, torn, damaged."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from model.errors import StorageError
from model.labels import Labels, Matcher, MatchOp
from model.samples import NO_SAMPLE, Exemplar, ScrapeBatch
from storage.interface import Hints, Metadata
from storage.tsdb.db import Tsdb
from storage.tsdb.settings import TsdbSettings
from tests.fakes.clock import FakeClock
from tests.storage.histograms import Histogram, column_of
from tests.storage.points import points, samples

START_MS = 1_767_225_600_000
SERIES = [Labels.of({"__name__": "m", "i": str(i)}) for i in range(20)]


def open_store(directory: Path, **changes: int) -> Tsdb:
    """Open a store whose housekeeping does not come by itself."""
    settings = TsdbSettings(maintain_seconds=3600.0, **changes)
    db = Tsdb(directory, settings, FakeClock(), CollectorRegistry())
    db.start()
    return db


def fill(db: Tsdb, first: int, count: int) -> None:
    """Append scrapes, each a group of its own; the value is the number of the scrape."""
    layout = db.layout(SERIES)
    for number in range(first, first + count):
        values = np.full(len(SERIES), float(number)) + np.random.default_rng(number).random(20)
        db.append(ScrapeBatch(layout, START_MS + number * 1000, np.floor(values))).wait()


def numbers(db: Tsdb) -> list[int]:
    """Return the scrapes that are there, as one of the series has them."""
    found = points(db.select([Matcher("i", MatchOp.EQUAL, "7")], 0, 2**62, Hints()))
    return [int(value) for samples in found.values() for _, value in samples]


def segments(directory: Path) -> list[Path]:
    """Return the segments that hold more than their head."""
    return [p for p in sorted((directory / "wal").iterdir()) if p.stat().st_size > 8]


def test_everything_comes_back(tmp_path: Path) -> None:
    """Scrapes, late samples and metadata are there after a restart, and after one more."""
    db = open_store(tmp_path)
    fill(db, 0, 5)
    db.append_samples(db.series(SERIES[7:8]), np.array([500]), np.array([77.0]))
    db.set_metadata({"m": Metadata("counter", "help\n", "bytes")})
    db.stop()

    for _ in range(2):
        db = open_store(tmp_path)
        assert numbers(db) == [77, 0, 1, 2, 3, 4]
        assert db.metadata("m") == {"m": Metadata("counter", "help\n", "bytes")}
        db.stop()


def fill_typed(db: Tsdb, first: int, count: int) -> None:
    """Append histograms with start timestamps, each a group of its own, and an exemplar each time."""
    refs = db.series(SERIES[7:9])
    for number in range(first, first + count):
        ts = np.full(2, START_MS + number * 1000)
        hist = Histogram(positive={0: number, 3: 2 * number}, sum=number / 3, negative={1: 1})
        db.append_samples(
            refs,
            ts,
            np.array([NO_SAMPLE[0], float(number)]),
            start_ms=np.array([START_MS, 0]),
            histograms=column_of([hist, float(number)]),
        ).wait()
        labels = Labels.of({"trace_id": str(number), "span": ""})
        db.append_exemplars(refs[:1], [Exemplar(labels, 0.5, int(ts[0]))]).wait()


def typed(db: Tsdb) -> tuple[list[int], list[int]]:
    """Return the numbers of the histograms that are there, checked, and those of the exemplars."""
    found = samples(db.select([Matcher("i", MatchOp.EQUAL, "7")], 0, 2**62, Hints()))
    there = []
    for ts, start, hist in found.get(SERIES[7], []):
        number = (ts - START_MS) // 1000
        there.append(number)
        if number < 10:
            continue
        assert start == START_MS
        assert isinstance(hist, Histogram)
        positive = {0: number, 3: 2 * number}
        assert hist == Histogram(positive, {1: 1}, sum=number / 3, hint=hist.hint)
    exemplars = [e for one in db.exemplars([[]], 0, 2**62) for e in one.exemplars]
    return there, [int(e.labels.get("trace_id")) for e in exemplars]


def test_typed_samples_and_exemplars_come_back(tmp_path: Path) -> None:
    """Histograms, start timestamps and exemplars are there after a restart, and after one more."""
    db = open_store(tmp_path)
    fill(db, 0, 2)
    fill_typed(db, 10, 5)
    db.stop()

    for _ in range(2):
        db = open_store(tmp_path)
        assert typed(db)[0][2:] == typed(db)[1] == list(range(10, 15))
        db.stop()


def test_metadata_outlives_the_segment_it_was_written_to(tmp_path: Path) -> None:
    """A new segment begins with all that is known of metric families."""
    db = open_store(tmp_path, segment_bytes=1000)
    db.set_metadata({"m": Metadata("gauge", "text", "")})
    fill(db, 0, 30)
    db.stop()
    first, *rest = segments(tmp_path)
    assert rest
    first.unlink()

    db = open_store(tmp_path)

    assert db.metadata() == {"m": Metadata("gauge", "text", "")}
    db.stop()


def test_each_segment_can_be_read_alone(tmp_path: Path) -> None:
    """Layouts and series are defined again in every segment."""
    db = open_store(tmp_path, segment_bytes=700)
    fill(db, 0, 30)
    db.stop()
    found = segments(tmp_path)
    for path in found[:-1]:
        path.unlink()

    db = open_store(tmp_path)
    left = numbers(db)
    db.stop()

    assert 0 < len(left) < 30
    assert left == list(range(30))[-len(left) :]


def cut(data: bytes) -> bytes:
    """Lose the last bytes."""
    return data[:-9]


def zeros(data: bytes) -> bytes:
    """Gain a block that was never written."""
    return data + bytes(4096)


def half_written(data: bytes) -> bytes:
    """Have the length but not the last bytes, as after power loss."""
    return data[:-30] + bytes(30)


@pytest.mark.parametrize(("harm", "kept"), [(cut, 9), (zeros, 10), (half_written, 9)])
def test_a_torn_tail_is_left_out(
    tmp_path: Path,
    harm: Callable[[bytes], bytes],
    kept: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What a kill left half-written is dropped with one line in the log, and writing goes on."""
    db = open_store(tmp_path)
    fill(db, 0, 10)
    db.stop()
    path = segments(tmp_path)[0]
    path.write_bytes(harm(path.read_bytes()))

    with caplog.at_level(logging.INFO):
        db = open_store(tmp_path)
    fill(db, 10, 2)
    db.stop()
    db = open_store(tmp_path)

    assert numbers(db) == [*range(kept), 10, 11]
    assert any("not written whole" in r.message for r in caplog.records)
    assert all(r.levelno < logging.WARNING for r in caplog.records)
    db.stop()


def test_damage_in_the_middle_costs_only_what_it_hit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After a bad checksum reading goes on with the next whole record, and says what was lost."""
    db = open_store(tmp_path, segment_bytes=1500)
    fill(db, 0, 40)
    db.stop()
    paths = segments(tmp_path)
    assert len(paths) >= 3
    data = bytearray(paths[1].read_bytes())
    data[len(data) // 2] ^= 0xFF
    paths[1].write_bytes(data)

    db = open_store(tmp_path)
    left = numbers(db)
    db.stop()

    lost = sorted(set(range(40)) - set(left))
    assert lost
    assert lost == list(range(lost[0], lost[-1] + 1))
    assert 0 in left
    assert 39 in left
    assert [r.levelname for r in caplog.records if "damaged at byte" in r.message] == ["ERROR"]


def test_an_unknown_version_is_refused(tmp_path: Path) -> None:
    """A segment of a later version is not guessed at."""
    db = open_store(tmp_path)
    fill(db, 0, 2)
    db.stop()
    path = segments(tmp_path)[0]
    path.write_bytes(b"TSCPWAL\x63" + bytes(range(200)))  # what it holds is for that version to say

    with pytest.raises(StorageError, match=r"wal.*version 99 is unknown"):
        open_store(tmp_path)


@pytest.mark.parametrize("version", [b"\x01", b"\x02"])
def test_segments_of_earlier_versions_are_read(tmp_path: Path, version: bytes) -> None:
    """What a store wrote before there were histograms, or sealed chunks in the log, is read as it was."""
    db = open_store(tmp_path)
    fill(db, 0, 5)
    db.append_samples(db.series(SERIES[7:8]), np.array([500]), np.array([77.0]))
    db.stop()
    path = segments(tmp_path)[0]
    path.write_bytes(b"TSCPWAL" + version + path.read_bytes()[8:])

    db = open_store(tmp_path)

    assert numbers(db) == [77, 0, 1, 2, 3, 4]
    db.stop()


EVERY_BYTE = pytest.param(1, marks=[pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)])


@pytest.mark.parametrize("every", [29, EVERY_BYTE])
def test_a_segment_of_histograms_cut_anywhere(tmp_path: Path, every: int) -> None:
    """Cut at any byte, what stands before is read: a prefix of the samples, the exemplars with it."""
    db = open_store(tmp_path)
    fill_typed(db, 10, 4)
    db.stop()
    path = segments(tmp_path)[0]
    data = path.read_bytes()
    seen = set()
    for size in range(0, len(data), every):
        other = tmp_path / f"cut{size}"
        (other / "wal").mkdir(parents=True)
        (other / "wal" / path.name).write_bytes(data[:size])
        head = read_back(other)
        assert head[0] == list(range(10, 10 + len(head[0])))
        assert head[1] == list(range(10, 10 + len(head[1])))
        assert len(head[0]) - len(head[1]) in (0, 1)
        seen.add(len(head[0]))

    assert seen == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("every", [31, EVERY_BYTE])
def test_a_flipped_byte_never_makes_up_a_sample(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, every: int
) -> None:
    """With one byte wrong anywhere in a segment, what is read is right and what is lost is said."""
    db = open_store(tmp_path)
    fill_typed(db, 10, 4)
    db.stop()
    path = segments(tmp_path)[0]
    data = bytearray(path.read_bytes())
    for at in range(8, len(data), every):
        other = tmp_path / f"flip{at}"
        (other / "wal").mkdir(parents=True)
        flipped = data.copy()
        flipped[at] ^= 0x41
        caplog.set_level(logging.INFO)
        (other / "wal" / path.name).write_bytes(flipped)
        there, exemplars = read_back(other)
        assert set(there) <= set(range(10, 14))
        assert set(exemplars) <= set(range(10, 14))
        said = [r for r in caplog.records if "are lost" in r.message or "are left out" in r.message]
        assert bool(said) == (len(there) + len(exemplars) < 8), "or a spare byte was hit"
        caplog.clear()


def read_back(directory: Path) -> tuple[list[int], list[int]]:
    """Open a store on a directory with one segment and return what ``typed`` finds."""
    db = open_store(directory)
    try:
        return typed(db)
    finally:
        db.stop()


def test_reading_twice_changes_nothing(tmp_path: Path) -> None:
    """A segment that is there twice, as after a failed fsync, counts once."""
    db = open_store(tmp_path)
    fill(db, 0, 6)
    db.append_samples(db.series(SERIES[3:4]), np.array([500]), np.array([77.0])).wait()
    db.stop()
    path = segments(tmp_path)[0]
    (tmp_path / "wal" / "00000050.wal").write_bytes(path.read_bytes())

    db = open_store(tmp_path)

    assert numbers(db) == list(range(6))
    found = points(db.select([Matcher("i", MatchOp.EQUAL, "3")], 0, START_MS, Hints()))
    assert [samples[0] for samples in found.values()] == [(500, 77.0)]
    db.stop()
