"""The log store over its life: duplicates, restarts, faults, retention, merging, the tail."""

import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread

import pytest

from model.errors import DeliveryError, StorageError
from storage.interface import LogPage, LogQuery
from storage.logdb.logdb import LogDb
from storage.logdb.merge import FAN_IN
from tests.fakes.clock import FakeClock
from tests.storage.logdb.logs import find, make_batch, make_db

DAY = 86_400


def _restart(db: LogDb, directory: Path) -> LogDb:
    db.stop()
    again = make_db(directory)
    again.start()
    return again


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sealed, merged or deleted behind the test's back."""
    monkeypatch.setattr(LogDb, "_maintain_loop", lambda db: None)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("restarted", [False, True])
def test_record_is_stored_once(tmp_path: Path, sealed: bool, restarted: bool) -> None:
    """Records that come again, also in other batches, answer 409 and are there once."""
    db = make_db(tmp_path)
    db.start()
    db.append(make_batch(["a", "b"]))
    if sealed:
        db.seal()
    if restarted:
        db = _restart(db, tmp_path)

    delivery, ticket = db.append(make_batch(["a", "b", "c"]))

    assert ticket.wait(0)
    assert delivery.status.tolist() == [409, 409, 201]
    assert set(delivery.reasons) == {0, 1}
    assert find(db) == ["a", "b", "c"]
    db.stop()


def test_sources_are_apart(tmp_path: Path) -> None:
    """The same offsets of another source are other records."""
    db = make_db(tmp_path)
    db.start()
    for source in ("x", "y"):
        assert db.append(make_batch(["a"], source=source))[0].status.tolist() == [201]

    assert find(db) == ["a", "a"]
    db.stop()


def test_empty_store_opens_fast_without_heavy_libraries(tmp_path: Path) -> None:
    """Opening an empty store and appending to it loads neither pyarrow nor DuckDB."""
    code = """
import sys
from pathlib import Path
from tests.storage.logdb.logs import find, make_batch, make_db
db = make_db(Path(sys.argv[1]))
db.start()
db.append(make_batch(["hello"]))
assert find(db, "hello") == ["hello"]
db.stop()
print(sorted({"pyarrow", "duckdb"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


def test_second_process_is_refused(tmp_path: Path) -> None:
    """Two stores in one directory would destroy each other; the second one says so."""
    db = make_db(tmp_path)
    db.start()
    with pytest.raises(StorageError, match="in use by another process"):
        make_db(tmp_path).start()
    db.stop()
    db.stop()

    again = make_db(tmp_path)
    again.start()
    again.stop()


def test_stopped_store_says_so(tmp_path: Path) -> None:
    """A store that does not run refuses batches for now, and searches with a sentence."""
    db = make_db(tmp_path)

    with pytest.raises(DeliveryError, match="not running") as caught:
        db.append(make_batch(["a"]))
    with pytest.raises(StorageError, match="not running"):
        db.search(LogQuery())
    assert caught.value.retryable
    db.stop()


def test_torn_log_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """What a power loss tore off is reported; everything before it is there and new records are taken."""
    db = make_db(tmp_path)
    db.start()
    db.append(make_batch(["a"]))
    db.append(make_batch(["b"], offset=100))
    db.stop()
    (wal,) = (tmp_path / "wal").glob("*.wal")
    os.truncate(wal, wal.stat().st_size - 3)

    db = make_db(tmp_path)
    db.start()
    (lost,) = db.lost
    status = db.append(make_batch(["b"], offset=100))[0].status.tolist()

    assert "the last record is cut off" in lost
    assert status == [201]
    db = _restart(db, tmp_path)
    assert find(db) == ["a", "b"]
    db.stop()


def test_missing_segment_is_reported(tmp_path: Path) -> None:
    """A segment that is gone costs its records and no more; opening says which."""
    db = make_db(tmp_path)
    db.start()
    db.append(make_batch(["a"]))
    db.seal()
    db.append(make_batch(["b"], offset=100))
    db.seal()
    db.stop()
    first = min((tmp_path / "segments").glob("*.parquet"))
    first.unlink()

    db = make_db(tmp_path)
    db.start()

    assert [str(first) in sentence for sentence in db.lost] == [True]
    assert find(db) == ["b"]
    db.stop()


def test_strays_of_a_crash_are_swept(tmp_path: Path) -> None:
    """Half-written files that no manifest names are deleted at the next start."""
    db = make_db(tmp_path)
    db.start()
    db.append(make_batch(["a"]))
    db.seal()
    db.stop()
    strays = [
        tmp_path / "segments" / "00000009.parquet",
        tmp_path / "segments" / "00000010.parquet.tmp",
        tmp_path / "MANIFEST.tmp",
        tmp_path / "sources-00000099",
    ]
    for stray in strays:
        stray.write_bytes(b"half")

    db = make_db(tmp_path)
    db.start()

    assert [stray.exists() for stray in strays] == [False] * 4
    assert find(db) == ["a"]
    db.stop()


def test_retention_by_age(tmp_path: Path, by_hand: None) -> None:
    """Segments go when all their records were taken in too long ago, whatever the records' own times."""
    clock = FakeClock()
    db = make_db(tmp_path, clock, retention_ns=2 * DAY * 10**9)
    db.start()
    db.append(make_batch(["old"]))
    db.seal()
    clock.advance(1.5 * DAY)
    db.append(make_batch(["young, of the same time"], offset=100))
    db.seal()
    clock.advance(1.0 * DAY)
    db._maintenance.expire()

    assert find(db) == ["young, of the same time"]
    assert len(list((tmp_path / "segments").glob("*.parquet"))) == 1
    db = _restart(db, tmp_path)
    assert find(db) == ["young, of the same time"]
    db.stop()


def test_retention_by_size_spares_what_readers_hold(tmp_path: Path, by_hand: None) -> None:
    """The oldest segments go first; a file that a search is reading stays until it is done."""
    db = make_db(tmp_path, retention_bytes=1024 * 1024)
    db.start()
    for n in range(3):
        noise = [os.urandom(500).hex() for _ in range(1200)]
        db.append(make_batch(noise, offset=n * 10**7))
        db.seal()
    with db._parts.snapshot() as held:
        db._maintenance.expire()
        during = [(tmp_path / "segments" / s.name).exists() for s in held.segments]
    after = [(tmp_path / "segments" / s.name).exists() for s in held.segments]

    assert during == [True, True, True]
    assert after == [False, False, True]
    assert len(find(db, limit=10_000)) == 1200
    db.stop()


def test_small_segments_are_merged(tmp_path: Path, by_hand: None) -> None:
    """Many small segments become one with the same records, and stay so."""
    db = make_db(tmp_path)
    db.start()
    for n in range(FAN_IN):
        for task in ("b", "a"):
            lines = [f"{task} {n} {i}" for i in range(50)]
            seconds = [(7 * i + n) % 50 for i in range(50)]
            fields = [f'{{"n":{n}}}' for _ in range(50)]
            db.append(make_batch(lines, task=task, offset=n * 1000, seconds=seconds, fields=fields))
        db.seal()
    before = db.search(LogQuery(limit=5000)).records

    assert db._maintenance.merge()
    assert not db._maintenance.merge()
    after = db.search(LogQuery(limit=5000)).records
    assert after == before
    assert len(after) == FAN_IN * 100
    assert len(list((tmp_path / "segments").glob("*.parquet"))) == 1
    assert len(find(db, "task_id:a-id fields.n:3")) == 50
    again = _restart(db, tmp_path)
    assert again.search(LogQuery(limit=5000)).records == before
    again.stop()


def test_full_part_in_memory_is_sealed_by_itself(tmp_path: Path) -> None:
    """At its size limit the part in memory becomes a segment, and its log file goes."""
    db = make_db(tmp_path, seal_bytes=20_000)
    db.start()
    for n in range(20):
        db.append(make_batch(["x" * 100], offset=n * 1000))
    deadline = time.monotonic() + 10
    while not list((tmp_path / "segments").glob("*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.02)

    assert list((tmp_path / "segments").glob("*.parquet"))
    assert len(find(db)) == 20
    db.stop()


def test_tail_sees_records_at_once_and_resumes(tmp_path: Path) -> None:
    """A live tail has a record well within a second; its cursor goes on behind it, even after sealing."""
    db = make_db(tmp_path)
    db.start()
    db.append(make_batch(["before"]))
    stop, pages = Event(), list[tuple[float, LogPage]]()

    def follow() -> None:
        for page in db.tail("-noise", "", stop):
            pages.append((time.monotonic(), page))

    thread = Thread(target=follow)
    thread.start()
    time.sleep(0.3)
    stored = time.monotonic()
    db.append(make_batch(["one", "noise", "two"], offset=100))
    while not pages and time.monotonic() < stored + 5:
        time.sleep(0.005)
    stop.set()
    thread.join(5)
    at, page = pages[0]
    db.append(make_batch(["three"], offset=200))
    db.seal()
    db.append(make_batch(["four"], offset=300))
    stop = Event()
    rest = []
    for more in db.tail("", page.cursor, stop):
        rest += [record.document["message"] for record in more.records]
        if len(rest) == 2:
            stop.set()

    assert [record.document["message"] for record in page.records] == ["one", "two"]
    assert at - stored < 1
    assert rest == ["three", "four"]
    db.stop()


def test_stop_ends_tails(tmp_path: Path) -> None:
    """A tail that nobody stops ends with the store."""
    db = make_db(tmp_path)
    db.start()
    pages: list[LogPage] = []
    thread = Thread(target=lambda: pages.extend(db.tail("", "", Event())))
    thread.start()
    time.sleep(0.1)
    db.stop()
    thread.join(5)

    assert not thread.is_alive()


@pytest.mark.slow
def test_search_beside_appending_sealing_and_merging_sees_each_record_once(tmp_path: Path) -> None:
    """Whatever goes on meanwhile, a search finds everything stored before it, and nothing twice."""
    db = make_db(tmp_path)
    db.start()
    stored, failures = 0, list[str]()
    done = Event()

    def tidy() -> None:
        while not done.is_set():
            db.seal()
            db._maintenance.merge()

    def look() -> None:
        while not done.is_set():
            before = stored
            ids = [record.id for record in db.search(LogQuery(limit=10_000)).records]
            if len(ids) < before or len(set(ids)) < len(ids):
                failures.append(f"{len(ids)} found, {len(set(ids))} different, {before} stored")

    threads = [Thread(target=tidy), Thread(target=look), Thread(target=look)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 2.5
    n = 0
    while time.monotonic() < end:
        db.append(make_batch([f"line {n} {i}" for i in range(5)], offset=n * 1000))
        n += 1
        stored = n * 5
        time.sleep(0.002)
    done.set()
    for thread in threads:
        thread.join(30)

    assert failures == []
    assert len(find(db, limit=10_000)) == stored
    assert n > 20
    again = _restart(db, tmp_path)
    assert len(find(again, limit=10_000)) == stored
    again.stop()


def test_search_lets_its_memory_go_when_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What searches keep in memory is given back after a while without any, and the next works again."""
    db = make_db(tmp_path)
    db.start()
    db.append(make_batch(["a"]))
    db.seal()
    assert find(db) == ["a"]
    names = {segment.name for segment in db._files.manifest.segments}
    db._walk.rest(names)
    busy = db._walk._frames._kept_bytes
    monkeypatch.setattr("storage.logdb.walk._IDLE_SECONDS", -1.0)
    db._walk.rest(names)

    assert busy > 0
    assert db._walk._frames._kept_bytes == 0
    assert find(db) == ["a"]
    db.stop()
