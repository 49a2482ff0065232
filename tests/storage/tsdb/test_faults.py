"""Full disks, damage, unknown versions, a second process."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from model.errors import StorageError
from model.labels import Labels
from model.samples import Exemplar
from storage.interface import Hints
from storage.tsdb.blockmeta import encode_meta, read_meta
from storage.tsdb.db import Tsdb
from tests.storage.points import points
from tests.storage.tsdb.opened import UP, Opened

ROOT = Path(__file__).parents[3]


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


def test_an_exemplar_that_could_not_be_written_is_not_shown(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its ticket failed it is not there, now or after a restart; the same one may come again."""
    refs = opened.db.series([UP])
    first, second = (Exemplar(Labels(), 1.0, ts) for ts in (1000, 2000))
    opened.db.append_exemplars(refs, [first]).wait()

    def shown() -> list[Exemplar]:
        return [one for row in opened.db.exemplars([[]], 0, 2**62) for one in row.exemplars]

    def full(fd: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("storage.tsdb.wal.write_all", full)
        ticket = opened.db.append_exemplars(refs, [second])
        with pytest.raises(StorageError, match="No space left"):
            ticket.wait()
        during = shown()
    opened.again()
    after = shown()
    opened.db.append_exemplars(refs, [second]).wait()

    assert during == after == [first]
    assert shown() == [first, second]


def test_blocks_wait_for_room(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that cannot be written leaves nothing behind and is written in a later round."""
    opened.scrape(3 * 3600)

    def full(fd: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("storage.tsdb.blockwriter.write_all", full)
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
    meta.write_text(encode_meta(replace(read_meta(meta), version=9)))

    with pytest.raises(StorageError, match=r"meta\.json: block version 9 is unknown"):
        opened.again()


def test_damaged_frames_are_left_out_and_said(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    """What damaged frames held is missing from answers, said once with the block's name; the rest goes on."""
    opened.scrape(3 * 3600)
    opened.db.maintain()
    frames = opened.directory / "blocks" / "0000000001" / "frames"
    frames.write_bytes(frames.read_bytes()[:200] + bytes(len(frames.read_bytes()) - 200))
    opened.again()

    first = 2 * 3600
    assert opened.times() == opened.times() == list(range(first, 3 * 3600 + 1, 15))
    (said,) = (record.getMessage() for record in caplog.records if record.levelname == "ERROR")
    assert "0000000001: the checksum of a frame is wrong; 2 series from" in said


@pytest.mark.parametrize(
    ("file", "operation"), [("frames", "frame_damaged"), ("index", "block_damaged")]
)
def test_damage_is_counted(tmp_path: Path, file: str, operation: str) -> None:
    """What a damaged block costs stands in the metrics; a block without an index is set aside, not deleted."""
    registry = CollectorRegistry()
    opened = Opened(tmp_path / "tsdb")
    opened.scrape(3 * 3600)
    opened.db.maintain()
    opened.db.stop()
    path = opened.directory / "blocks" / "0000000001" / file
    path.write_bytes(path.read_bytes()[:-5] + b"xxxxx")
    db = Tsdb(opened.directory, opened.settings, opened.clock, registry)
    db.start()
    for _ in range(2):
        db.select([], 0, 2**62, Hints())
    db.stop()

    name = "taskscope_storage_failures_total"
    assert registry.get_sample_value(name, {"operation": operation}) == 1.0
    aside = opened.directory / "quarantine" / "0000000001" / file
    assert aside.exists() == (file == "index")


def test_what_was_never_finished_is_taken_away(opened: Opened) -> None:
    """Directories of blocks that a kill left half-written or half-deleted are removed at the start."""
    for name in ("0000000007.tmp", "0000000003.gone"):
        path = opened.directory / "blocks" / name
        path.mkdir()
        (path / "frames").write_bytes(b"x")

    opened.again()

    assert opened.blocks() == []
