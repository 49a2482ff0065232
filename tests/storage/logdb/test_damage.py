"""Files that are damaged or gone: the store starts, says so, and loses only what is damaged."""

import shutil
from pathlib import Path

import pytest

from storage.interface import LogQuery
from storage.logdb.logdb import LogDb
from tests.storage.logdb.logs import find, make_batch, make_db

GROUP = 4  # records in a row group here
PER_BATCH = 6


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a merged segment, two sealed ones and a log of four batches."""
    directory = tmp_path_factory.mktemp("whole") / "logs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LogDb, "_maintain_loop", lambda db: None)
        patch.setattr("storage.logdb.write.ROW_GROUP", GROUP)
        patch.setattr("storage.logdb.merge.FAN_IN", 3)
        db = make_db(directory)
        db.start()
        for n in range(9):
            lines = [f"line {n} {i} unique{n}x{i}" for i in range(PER_BATCH)]
            own = [f'{{"n":{n},"i":{i}}}' for i in range(PER_BATCH)]
            db.append(make_batch(lines, fields=own, task=f"t{n % 2}", offset=n * 1000, seconds=range(n * 10, n * 10 + PER_BATCH)))  # fmt: skip
            if n < 5:
                db.seal()
            if n == 2:
                assert db._maintenance.merge()
        db.stop()
    return directory


ALL = {f"line {n} {i} unique{n}x{i}" for n in range(9) for i in range(PER_BATCH)}


@pytest.fixture
def copy(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that store to be damaged."""
    monkeypatch.setattr(LogDb, "_maintain_loop", lambda db: None)
    return Path(shutil.copytree(whole, tmp_path / "logs"))


def opened(directory: Path) -> tuple[set[str], tuple[str, ...], list[str]]:
    """Open the store: all records, what it said, and what a needle query of each record finds."""
    db = make_db(directory)
    db.start()
    try:
        everything = find(db, limit=1000)
        assert len(everything) == len(set(everything))
        for record in db.search(LogQuery(limit=1000)).records:
            n, i = record.document["message"].split()[1:3]
            assert (record.document["fields.n"], record.document["fields.i"]) == (int(n), int(i))
        needles = [f"unique{n}x{i}" for n in range(9) for i in (0, PER_BATCH - 1)]
        hits = [text for needle in needles for text in find(db, needle)]
        return set(everything), db.lost, hits
    finally:
        db.stop()


def kinds(directory: Path) -> dict[str, list[Path]]:
    """Return the store's files by kind."""
    return {
        "manifest": [directory / "MANIFEST"],
        "sources": sorted(directory.glob("sources-*")),
        "wal": [p for p in sorted((directory / "wal").glob("*.wal")) if p.stat().st_size > 16],
        "segment": sorted((directory / "segments").glob("*.parquet")),
        "index": sorted((directory / "segments").glob("*.index")),
    }


# what may be lost at most when one place in a file of a kind is damaged, in records
AT_MOST = {"manifest": 0, "sources": 0, "index": 0, "wal": PER_BATCH, "segment": GROUP}


def test_the_store_is_as_told(copy: Path) -> None:
    """The store that is damaged here has all kinds of files, several row groups, and all records."""
    files = kinds(copy)
    records, lost, hits = opened(copy)

    assert {kind: len(paths) for kind, paths in files.items()} == {
        "manifest": 1,
        "sources": 1,
        "wal": 1,
        "segment": 3,
        "index": 3,
    }
    assert (records, lost, len(hits)) == (ALL, (), 18)


@pytest.mark.parametrize("change", ["flip", "zeros"])
@pytest.mark.parametrize("kind", AT_MOST)
@pytest.mark.parametrize(
    "steps",
    [
        8,
        pytest.param(24, marks=pytest.mark.slow),
        pytest.param(80, marks=[pytest.mark.slow, pytest.mark.long]),
    ],
    ids=["some", "many", "very many"],
)
def test_damage_at_any_place(copy: Path, kind: str, change: str, steps: int) -> None:
    """Whatever bytes of whatever file are wrong, all else is found, and what is lost is said."""
    path = kinds(copy)[kind][-1]
    good = path.read_bytes()
    width = max(1, len(good) // steps)
    for start in range(0, len(good), width):
        bad = bytearray(good)
        if change == "flip":
            bad[start + width // 2 if start + width // 2 < len(good) else start] ^= 0xFF
        else:
            bad[start : start + 7] = bytes(len(bad[start : start + 7]))
        before = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()}
        path.write_bytes(bad)

        records, lost, hits = opened(copy)

        assert records <= ALL
        missing = ALL - records
        # zeros may reach from one record or row group into the next
        assert len(missing) <= AT_MOST[kind] * (2 if change == "zeros" else 1), start
        assert bool(lost) or not missing, start
        assert set(hits) == {t for t in records if t.split()[2] in ("0", str(PER_BATCH - 1))}
        _put_back(copy, before)


@pytest.mark.parametrize("kind", AT_MOST)
@pytest.mark.parametrize(
    "steps",
    [
        6,
        pytest.param(20, marks=pytest.mark.slow),
        pytest.param(60, marks=[pytest.mark.slow, pytest.mark.long]),
    ],
    ids=["some", "many", "very many"],
)
def test_file_that_is_cut_off(copy: Path, kind: str, steps: int) -> None:
    """Whatever is cut off a file, what stands before the cut is found, and the loss is said."""
    path = kinds(copy)[kind][-1]
    good = path.read_bytes()
    left_before = -1
    for end in range(0, len(good), max(1, len(good) // steps)):
        before = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()}
        path.write_bytes(good[:end])

        records, lost, hits = opened(copy)

        assert records <= ALL
        assert bool(lost) or records == ALL or (kind == "wal" and not end), end
        if kind in ("manifest", "sources", "index"):
            assert records == ALL
        assert len(records) >= left_before
        left_before = len(records)
        assert set(hits) == {t for t in records if t.split()[2] in ("0", str(PER_BATCH - 1))}
        _put_back(copy, before)
    if kind in ("wal", "segment"):
        assert left_before > len(ALL) - 4 * PER_BATCH  # the last cut left most of it


@pytest.mark.parametrize("kind", AT_MOST)
def test_file_that_is_gone(copy: Path, kind: str) -> None:
    """Without one of its files the store starts, says so where something is lost, and goes on."""
    path = kinds(copy)[kind][-1]
    path.unlink()

    records, lost, _ = opened(copy)
    again, lost_again, _ = opened(copy)

    assert (records == ALL) == (kind not in ("wal", "segment"))
    assert bool(lost) == (kind in ("manifest", "sources", "segment"))
    assert (again, lost_again) == (records, ())


def test_records_sent_again_after_the_damage_are_stored_once(copy: Path) -> None:
    """Manifest and list of sources are found again well enough to tell what is there already."""
    (copy / "MANIFEST").write_bytes(b"\0" * 500)
    for path in copy.glob("sources-*"):
        path.write_bytes(b"\0" * 50)
    db = make_db(copy)
    db.start()
    status = []
    for n in range(9):
        lines = [f"line {n} {i} unique{n}x{i}" for i in range(PER_BATCH)]
        batch = make_batch(lines, task=f"t{n % 2}", offset=n * 1000, seconds=range(n * 10, n * 10 + PER_BATCH))  # fmt: skip
        status += db.append(batch)[0].status.tolist()
    found = find(db, limit=1000)
    db.stop()

    assert status == [409] * len(ALL)
    assert sorted(found) == sorted(ALL)


def test_damaged_row_groups_are_left_out_of_a_merge(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segment with a damaged row group is merged with what can be read of it, and that is said."""
    monkeypatch.setattr("storage.logdb.merge.FAN_IN", 3)
    path = kinds(copy)["segment"][-1]
    bad = bytearray(path.read_bytes())
    bad[40:80] = bytes(40)
    path.write_bytes(bad)
    db = make_db(copy)
    db.start()
    db.seal()
    before = set(find(db, limit=1000))
    merged = db._maintenance.merge()
    after = set(find(db, limit=1000))
    lost = db.lost
    db.stop()

    assert merged
    assert before == after < ALL
    assert any("cannot be read" in sentence for sentence in lost)


def _put_back(directory: Path, files: dict[Path, bytes]) -> None:
    for path in directory.rglob("*"):
        if path.is_file() and path not in files:
            path.unlink()
    for path, data in files.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
