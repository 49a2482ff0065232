"""When fsync fails: what the kernel forgot is written again, or is not called durable."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from model.errors import StorageError
from storage.interface import Hints
from tests.storage.points import points
from tests.storage.tsdb.opened import LOAD, SETTINGS, UP, Opened
from tests.storage.tsdb.test_delete import EVER, named


class Disk:
    """What is behind the page cache of a directory: a failed fsync forgets what was not there yet.

    As on Linux, the next fsync of that file succeeds, and does not bring back what is forgotten.
    """

    def __init__(self, wal: Path) -> None:
        self._wal = wal
        self._safe: dict[int, bytes] = {}
        self._held: list[int] = []  # so that no number of a file is given twice
        self.failures = 0
        self._real = os.fdatasync

    def fdatasync(self, fd: int) -> None:
        """Stand in for ``os.fdatasync``."""
        inode, seen = os.fstat(fd).st_ino, Path(f"/proc/self/fd/{fd}").read_bytes()
        if inode not in self._safe:
            self._held.append(os.dup(fd))
        safe = self._safe.get(inode, b"")
        if self.failures:
            self.failures -= 1
            self._safe[inode] = safe + bytes(len(seen) - len(safe))
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._real(fd)
        self._safe[inode] = safe + seen[len(safe) :]

    def close(self) -> None:
        """Let go of the files."""
        for fd in self._held:
            os.close(fd)

    def after_power_loss(self, copy: Path) -> Opened:
        """Open a copy of the directory that has only what is behind the cache."""
        shutil.copytree(self._wal.parent, copy)
        for path in self._wal.iterdir():
            safe = self._safe.get(path.stat().st_ino, b"")
            (copy / "wal" / path.name).write_bytes(safe)
        return Opened(copy)


@pytest.fixture
def disk(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """Give the disk under a store that syncs when it is told to."""
    opened.settings = replace(SETTINGS, fsync_ms=3_600_000, segment_bytes=4000)
    disk = Disk(opened.directory / "wal")
    monkeypatch.setattr("os.fdatasync", disk.fdatasync)
    opened.again()
    yield disk
    disk.close()


def done(work: Callable[[], None]) -> bool:
    """Try something and tell whether it was done, not refused because of the disk."""
    try:
        work()
    except StorageError as error:
        return "Input/output error" not in str(error)
    return True


@pytest.mark.parametrize("failures", [0, 1, 2, 3, 4])
def test_what_a_flush_confirms_is_durable(
    opened: Opened, disk: Disk, tmp_path: Path, failures: int
) -> None:
    """However often fsync fails, a flush that returns without an error was right."""
    opened.scrape(60)
    disk.failures = failures
    told = 0
    while not done(opened.db.flush):
        told += 1
    after = disk.after_power_loss(tmp_path / "copy")
    found = after.times()
    after.db.stop()

    assert (told > 0) == (failures > 1), "one failure is made good by writing again"
    assert found == [15, 30, 45, 60]


@pytest.mark.parametrize("failures", range(6))
def test_a_deletion_beside_failed_fsyncs(
    opened: Opened, disk: Disk, tmp_path: Path, failures: int
) -> None:
    """What stood before a deletion does not come back behind it, what came after is not lost."""
    opened.scrape(60)
    disk.failures = failures
    refused = 0
    while not done(lambda: opened.db.delete_series([named("up")], *EVER)):
        refused += 1
        assert UP in points(opened.db.select([], *EVER, Hints())), "nothing is done by half"
    disk.failures = failures
    opened.scrape(60)
    opened.db.append_samples(opened.db.series([UP]), np.array([7]), np.array([0.5]))
    while not done(opened.db.flush):
        refused += 1
    after = disk.after_power_loss(tmp_path / "copy")
    found = points(after.db.select([], *EVER, Hints()))
    after.db.stop()

    assert (refused > 0) == (failures > 1)
    assert [value for _, value in found[UP]] == [0.5, 1.0, 1.0, 1.0, 1.0]
    assert len(found[LOAD]) == 8


def test_a_full_segment_whose_fsync_fails(opened: Opened, disk: Disk, tmp_path: Path) -> None:
    """What is written again because a segment is full is not taken for durable with the next one."""
    for _ in range(60):
        disk.failures = 1
        opened.scrape(15)
        opened.db.append_samples(opened.db.series([UP]), np.array([7]), np.array([0.5])).wait()
    disk.failures = 0
    opened.db.flush()
    after = disk.after_power_loss(tmp_path / "copy")
    found = after.times()
    after.db.stop()

    assert len(list((opened.directory / "wal").iterdir())) > 2
    assert found == list(range(15, 901, 15))


def test_a_disk_that_never_syncs_takes_nothing_more(
    opened: Opened, disk: Disk, tmp_path: Path
) -> None:
    """While nothing can be made durable appends fail, no files pile up, reads go on; then all is well again."""
    refs = opened.db.series([UP])
    opened.scrape(60)
    disk.failures = 10**9
    with pytest.raises(StorageError):
        opened.db.flush()
    for number in range(20):
        ticket = opened.db.append_samples(refs, np.array([number]), np.array([9.0]))
        with pytest.raises(StorageError, match="cannot write: Input/output error"):
            ticket.wait()
    files = list((opened.directory / "wal").iterdir())
    during = points(opened.db.select([], *EVER, Hints()))
    disk.failures = 0
    opened.db.append_samples(refs, np.array([1]), np.array([1.0])).wait()
    opened.db.flush()
    after = disk.after_power_loss(tmp_path / "copy")
    found = points(after.db.select([], *EVER, Hints()))
    after.db.stop()

    assert len(files) <= 2
    assert [value for _, value in during[UP]] == [1.0] * 4
    assert found == {**during, UP: [(1, 1.0), *during[UP]]}


def test_a_copy_that_a_kill_cut_short_is_not_read(opened: Opened) -> None:
    """A segment that was being written again has no name yet: it is taken away at the start."""
    opened.scrape(60)
    opened.db.stop()
    wal = opened.directory / "wal"
    (first, *_) = sorted(wal.iterdir())
    (wal / "00000009.tmp").write_bytes(first.read_bytes()[:-5])
    opened.again()

    assert not list(wal.glob("*.tmp"))
    assert opened.times() == [15, 30, 45, 60]
