"""Every file of a store, cut and flipped at every byte: it starts, says what is lost, and answers nothing wrong."""

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from model.labels import Labels, Matcher, MatchOp
from model.samples import ScrapeBatch
from storage.interface import Hints
from storage.tsdb import records
from storage.tsdb.db import Tsdb
from storage.tsdb.records import Damage
from storage.tsdb.settings import TsdbSettings
from tests.fakes.clock import FakeClock
from tests.storage.points import points
from tests.storage.tsdb.opened import START_MS

SETTINGS = TsdbSettings(
    block_ms=60_000,
    longest_block_ms=1,
    block_delay_ms=0,
    reserve_bytes=0,
    maintain_seconds=3600.0,
    idle_ms=10**9,
)
TARGETS = [
    [Labels.of({"__name__": name, "i": str(t)}) for name in ("up", "load")] for t in range(2)
]
LATE = Labels.of({"__name__": "late"})
DELETED = Labels.of({"__name__": "deleted"})
NOW_MS = START_MS + 200_000

Samples = dict[Labels, list[tuple[int, float]]]


def build(directory: Path) -> None:
    """Make a store with blocks, one of them of late samples, a deletion, and two segments of log."""
    clock = FakeClock(START_MS)
    db = Tsdb(directory, SETTINGS, clock, CollectorRegistry())
    db.start()
    for step in range(14):
        clock.advance(10)
        now = clock.now_ns() // 1_000_000
        for number, labels in enumerate(TARGETS):
            values = np.array([1.0, now / 1000 + number])
            db.append(ScrapeBatch(db.layout(labels), now, values))
            db.flush()  # a group of its own for each
        if step in (3, 12):
            refs = db.series([LATE, DELETED])
            ts = np.array([now - 15_000, now - 15_000])
            db.append_samples(refs, ts, np.array([now / 1000, 0.5])).wait()
        if step == 11:
            db.maintain()
    db.delete_series([[Matcher("__name__", MatchOp.EQUAL, "deleted")]], 0, 2**62)
    db.stop()


def read(directory: Path) -> Samples:
    """Start a store and return all it has."""
    db = Tsdb(directory, SETTINGS, FakeClock(NOW_MS), CollectorRegistry())
    db.start()
    try:
        return points(db.select([], 0, 2**62, Hints()))
    finally:
        db.stop()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Samples]:
    """Give a store on disk and what it holds."""
    directory = tmp_path_factory.mktemp("whole") / "tsdb"
    build(directory)
    copy = directory.with_name("copy")
    shutil.copytree(directory, copy)
    found = read(copy)
    assert sum(map(len, found.values())) == 14 * 4 + 2
    return directory, found


def harms(path: Path, every: int) -> Iterator[tuple[str, bytes]]:
    """Yield what a file may look like: cut, or with one bit flipped, at each so many bytes."""
    data = path.read_bytes()
    for at in range(0, len(data), every):
        yield f"cut at {at}", data[:at]
        yield f"flipped at {at}", data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


FILES = {
    "segment": "wal/*1.wal",
    "later segment": "wal/*2.wal",
    "frames": "blocks/*1/frames",
    "index": "blocks/*1/index",
    "meta": "blocks/*1/meta.json",
    "late frames": "blocks/*3/frames",
    "late index": "blocks/*3/index",
    "late meta": "blocks/*3/meta.json",
    "format": "format.json",
    "deletions": "deletions",
}
STEPS = [pytest.param(1, marks=[pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]), 97]


@pytest.mark.parametrize("every", STEPS)
@pytest.mark.parametrize("file", FILES)
def test_a_harmed_file_costs_only_what_it_held(
    whole: tuple[Path, Samples],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    file: str,
    every: int,
) -> None:
    """Nothing is answered that was not written; what other files hold is all there; a loss is said."""
    source, wanted = whole
    (harmed,) = source.glob(FILES[file])
    spared = elsewhere(source, harmed, tmp_path, wanted)
    pristine = tmp_path / "pristine"
    shutil.copytree(source, pristine)
    for number, (what, data) in enumerate(harms(harmed, every)):
        directory = tmp_path / f"{number}"
        shutil.copytree(pristine, directory, copy_function=os.link)
        target = directory / harmed.relative_to(source)
        target.unlink()
        target.write_bytes(data)
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="storage"):
            found = read(directory)
        if file == "deletions":
            found.pop(DELETED, None)

        for labels, samples in found.items():
            assert set(samples) <= set(wanted[labels]), (what, labels)
        for labels, samples in spared.items():
            assert set(samples) <= set(found.get(labels, [])), (what, labels)
        if found != wanted:
            said = [r for r in caplog.records if r.name != "storage.tsdb.db"]
            assert said or ends_whole(target, data), f"{what}: something is lost, nothing is said"
        shutil.rmtree(directory)


def ends_whole(path: Path, data: bytes) -> bool:
    """Tell whether a segment was cut between two records: nobody can see that then."""
    return path.suffix == ".wal" and not any(isinstance(r, Damage) for r in records.read(data))


def elsewhere(source: Path, harmed: Path, scratch: Path, wanted: Samples) -> Samples:
    """Return what the other files hold: what is found when the harmed one, or its block, is not there."""
    directory = scratch / "without"
    shutil.copytree(source, directory)
    path = directory / harmed.relative_to(source)
    if path.name in {"frames", "index"}:
        shutil.rmtree(path.parent)
    elif path.name in {"meta.json", "format.json", "deletions"}:
        return wanted  # all that these say is said elsewhere too
    else:
        path.unlink()
    found = read(directory)
    if harmed.parent.name == "0000000003":  # the log holds its sample too, but need not be asked
        found[LATE] = found[LATE][1:]
    return found


def test_groups_beside_a_damaged_one_are_read(tmp_path: Path) -> None:
    """Of a log whose first group is damaged, the groups behind it are read."""
    directory = tmp_path / "tsdb"
    clock = FakeClock(START_MS)
    db = Tsdb(directory, replace(SETTINGS, block_ms=7_200_000), clock, CollectorRegistry())
    db.start()
    ends = []
    (segment,) = (directory / "wal").iterdir()
    for number in range(5):
        ts = np.array([START_MS + number])
        db.append_samples(db.series([LATE]), ts, np.array([float(number)])).wait()
        ends.append(segment.stat().st_size)
    db.stop()
    data = bytearray(segment.read_bytes())
    data[ends[1] + 13] ^= 0x40
    segment.write_bytes(data)

    assert [value for _, value in read(directory)[LATE]] == [0.0, 1.0, 3.0, 4.0]
