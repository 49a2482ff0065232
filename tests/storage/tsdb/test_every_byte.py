"""Every file of a store, cut and flipped at every byte: it starts, says what is lost, and answers nothing wrong."""

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec import Struct
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from model.labels import Labels, Matcher, MatchOp
from model.samples import NO_SAMPLE, Exemplar, ScrapeBatch
from storage.interface import Hints, Metadata
from storage.tsdb import records
from storage.tsdb.db import Tsdb
from storage.tsdb.records import Damage
from storage.tsdb.settings import TsdbSettings
from tests.fakes.clock import FakeClock
from tests.storage.histograms import Histogram, column_of
from tests.storage.points import samples
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

TYPED = [Labels.of({"__name__": "typed", "i": str(i)}) for i in range(2)]
EXEMPLARS = Labels.of({"__name__": "(exemplars)"})
METADATA = Labels.of({"__name__": "(metadata)"})

Samples = dict[Labels, list[tuple[object, ...]]]


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


def build_typed(directory: Path) -> None:
    """Make a store with all kinds of samples, exemplars and metadata, in log, blocks and a merged block."""
    clock = FakeClock(START_MS)
    settings = replace(SETTINGS, longest_block_ms=180_000, reserve_bytes=64)
    db = Tsdb(directory, settings, clock, CollectorRegistry())
    db.start()
    db.set_metadata({"typed": Metadata("histogram", "helps", "seconds")})
    refs = db.series(TYPED)
    for step in range(30):
        clock.advance(10)
        now = clock.now_ns() // 1_000_000
        db.append(ScrapeBatch(db.layout(TARGETS[0]), now, np.array([1.0, now / 1000])))
        value = Histogram({0: step, 3: 2 * step}, {1: 1}, sum=step / 3, zero=0.5)
        column = column_of([value, float(step)])
        values = np.array([NO_SAMPLE[0], float(step)])
        starts = np.array([START_MS, 0])
        db.append_samples(refs, np.full(2, now), values, start_ms=starts, histograms=column)
        if step % 5 == 0:
            exemplar = Exemplar(Labels.of({"trace_id": str(step)}), float(step), now)
            db.append_exemplars(refs[:1], [exemplar])
        db.flush()
        if step % 6 == 5 and step < 29:
            db.maintain()
    db.stop()
    aside = directory / "quarantine" / "0000000001"
    aside.mkdir(parents=True)
    (aside / "index").write_bytes(b"what was damaged once")


def plain(value: int | Histogram) -> int | str:
    """Return something that can be in a set, and does not say what stood before it."""
    return str(value.hinted("")) if isinstance(value, Histogram) else value


def read(directory: Path) -> Samples:
    """Start a store and return all it has: samples, and exemplars and metadata as if they were some."""
    db = Tsdb(directory, SETTINGS, FakeClock(NOW_MS), CollectorRegistry())
    db.start()
    try:
        found: Samples = {
            labels: [(ts, start, plain(value)) for ts, start, value in some]
            for labels, some in samples(db.select([], 0, 2**62, Hints())).items()
        }
        for row in db.exemplars([[]], 0, 2**62):
            found.setdefault(EXEMPLARS, []).extend((row.labels, one) for one in row.exemplars)
        if metadata := db.metadata():
            found[METADATA] = list(metadata.items())
        return found
    finally:
        db.stop()


class Whole(Struct, frozen=True):
    """A store on disk and what it holds."""

    directory: Path
    found: Samples


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Whole]:
    """Give a store of floats, and one of histograms, exemplars and more."""
    plain = made_by(build, tmp_path_factory.mktemp("plain"))
    assert sum(map(len, plain.found.values())) == 14 * 4 + 2
    typed = made_by(build_typed, tmp_path_factory.mktemp("typed"))
    assert sum(map(len, typed.found.values())) == 30 * 4 + 6 + 1
    return {"plain": plain, "typed": typed}


def made_by(make: Callable[[Path], None], parent: Path) -> Whole:
    """Make a store and look what a copy of it has."""
    directory, copy = parent / "tsdb", parent / "copy"
    make(directory)
    shutil.copytree(directory, copy)
    return Whole(directory, read(copy))


def harms(path: Path, places: int) -> Iterator[tuple[str, bytes]]:
    """Yield what a file may look like: cut, or with one bit flipped, at so many places; 0 is each byte."""
    data = path.read_bytes()
    for at in range(0, len(data), len(data) // places | 1 if places else 1):
        yield f"cut at {at}", data[:at]
        yield f"flipped at {at}", data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


FILES = {
    "plain": {
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
    },
    "typed": {
        "segment": "wal/*4.wal",
        "later segment": "wal/*5.wal",
        "merged frames": "blocks/*16/frames",
        "merged index": "blocks/*16/index",
        "merged meta": "blocks/*16/meta.json",
        "late frames": "blocks/*15/frames",
        "late index": "blocks/*15/index",
        "late meta": "blocks/*15/meta.json",
        "reserve": "reserve",
        "lock": "lock",
        "quarantine": "quarantine/*/index",
    },
}
SPARE = {"meta.json", "format.json", "deletions", "reserve", "lock"}  # hold no samples of their own
PLACES = [
    pytest.param(0, marks=[pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]),
    8,
]


def test_no_kind_of_file_is_left_out(stores: dict[str, Whole]) -> None:
    """Every file that a data directory has is of a kind that is harmed below."""

    def kind(directory: Path, path: Path) -> str:
        return re.sub(r"\d+", "n", str(path.relative_to(directory)))

    found, harmed = set(), set()
    for name, store in stores.items():
        every = [path for path in store.directory.rglob("*") if path.is_file()]
        found |= {kind(store.directory, path) for path in every}
        for pattern in FILES[name].values():
            (path,) = store.directory.glob(pattern)
            harmed.add(kind(store.directory, path))

    assert found == harmed


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize(
    ("name", "file"), [(n, file) for n, files in FILES.items() for file in files]
)
def test_a_harmed_file_costs_only_what_it_held(
    stores: dict[str, Whole],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    file: str,
    places: int,
) -> None:
    """Nothing is answered that was not written; what other files hold is all there; a loss is said."""
    source, wanted = stores[name].directory, stores[name].found
    (harmed,) = source.glob(FILES[name][file])
    spared = elsewhere(source, harmed, tmp_path, wanted)
    pristine = tmp_path / "pristine"
    shutil.copytree(source, pristine)
    for number, (what, data) in enumerate(harms(harmed, places)):
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

        for labels, some in found.items():
            assert set(some) <= set(wanted[labels]), (what, labels)
        for labels, some in spared.items():
            assert set(some) <= set(found.get(labels, [])), (what, labels)
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
    if "quarantine" in path.parts:
        return wanted
    if path.name in {"frames", "index"}:
        shutil.rmtree(path.parent)
    elif path.name in SPARE:
        return wanted
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

    found = [bits for _, _, bits in read(directory)[LATE]]
    assert found == np.array([0.0, 1.0, 3.0, 4.0]).view(np.int64).tolist()


def test_what_is_defined_is_read_of_a_record_whose_other_series_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the definition of one series is damaged, scrapes, samples and exemplars of the others are read."""
    directory = tmp_path / "tsdb"
    db = Tsdb(directory, SETTINGS, FakeClock(START_MS), CollectorRegistry())
    db.start()
    first, both = db.series([LATE]), db.series([LATE, DELETED])
    (segment,) = (directory / "wal").iterdir()
    db.append_samples(first, np.array([START_MS]), np.array([1.0])).wait()
    at = segment.stat().st_size
    db.append_samples(both, np.full(2, START_MS + 1), np.array([2.0, 2.0])).wait()
    db.append_exemplars(both, [Exemplar(Labels(), 2.0, START_MS + 1)] * 2).wait()
    layout = db.layout([LATE, DELETED])
    db.append(ScrapeBatch(layout, START_MS + 2, np.array([3.0, 4.0]))).wait()
    db.stop()
    data = bytearray(segment.read_bytes())
    data[at + 13] ^= 0x40
    segment.write_bytes(data)
    found = read(directory)

    assert {labels: len(some) for labels, some in found.items()} == {LATE: 3, EXEMPLARS: 1}
    assert any("3 records are lost, or parts of them" in r.message for r in caplog.records)


def test_exemplars_written_again_do_not_take_the_first_ones_with_them(tmp_path: Path) -> None:
    """Where what all exemplars belong to is damaged in a later segment, those of the segment before are read."""
    directory = tmp_path / "tsdb"
    build_typed(directory)
    (segment,) = (directory / "wal").glob("*5.wal")
    data = bytearray(segment.read_bytes())
    kinds = [kind for kind, _ in records.read(bytes(data))]  # type: ignore[misc]  # none is damaged
    assert records.Kind.ALL_EXEMPLARS in kinds
    at = data.index(bytes([records.Kind.SERIES, 0, 0, 0])) + 4
    data[at + 5] ^= 0x40
    segment.write_bytes(data)

    assert len(read(directory)[EXEMPLARS]) == 5, "the sixth is in that segment only"
