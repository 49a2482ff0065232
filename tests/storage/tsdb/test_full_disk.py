"""Writing blocks anew on a file system of a few megabytes that another file fills."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from model.errors import StorageError
from model.labels import Labels
from model.samples import ScrapeBatch
from storage.interface import Hints
from tests.storage.points import points
from tests.storage.tsdb.opened import UP, Opened
from tests.storage.tsdb.test_delete import EVER, HOUR, named

pytestmark = pytest.mark.root

NOISE = [Labels.of({"__name__": f"noise{i % 2}", "i": str(i)}) for i in range(40)]
PAUSE_SECONDS = 601


class Small:
    """A store on a small disk, and what fills the rest of it."""

    def __init__(self, mount: Path) -> None:
        self.hog = mount / "hog"
        self.opened = Opened(mount / "tsdb")

    def fill(self) -> None:
        """Leave no byte free."""
        command = ["dd", "if=/dev/zero", f"of={self.hog}", "bs=512"]
        subprocess.run(command, check=False, capture_output=True)
        assert os.statvfs(self.hog).f_bavail == 0

    def scrape(self, hours: int) -> None:
        """Scrape noise, and write each window as a block that is not merged."""
        rng = np.random.default_rng(0)
        for step in range(hours * 60):
            self.opened.clock.advance(60)
            now = self.opened.clock.now_ns() // 1_000_000
            layout = self.opened.db.layout(NOISE)
            self.opened.db.append(ScrapeBatch(layout, now, rng.random(len(NOISE))))
            if step % 120 == 60 or step == hours * 60 - 1:
                self.opened.db._compactor.run(now)
        self.opened.db.flush()

    def found(self) -> dict[Labels, list[tuple[int, float]]]:
        """Return all that is there."""
        return points(self.opened.db.select([], *EVER, Hints()))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    """Give a store on a disk of four megabytes."""
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(mount)], check=True)
    try:
        made = Small(mount)
        yield made
        made.opened.db.stop()
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the store believe in room, as if the disk filled while it writes."""
    usage = SimpleNamespace(total=1 << 30, used=0, free=1 << 30)
    monkeypatch.setattr("storage.tsdb.merging.shutil.disk_usage", lambda path: usage)


def test_a_merge_without_room_waits(small: Small, caplog: pytest.LogCaptureFixture) -> None:
    """It is said and counted, nothing is left behind, reads go on; with room again it is made by itself."""
    small.scrape(7)
    opened, before, names = small.opened, small.found(), small.opened.blocks()
    small.fill()

    opened.db.maintain()
    during = small.found()
    small.hog.unlink()
    opened.clock.advance(PAUSE_SECONDS)
    opened.db.maintain()

    assert len(names) == 3
    assert during == before == small.found()
    assert opened.failures("merge") == 1
    assert any("no room to merge 3 blocks" in r.message for r in caplog.records)
    assert opened.blocks() == ["0000000004"]


@pytest.mark.usefixtures("blind")
def test_a_disk_that_fills_during_a_merge(small: Small) -> None:
    """The same where the disk is full only when half of the block is written; the reserve stays."""
    small.scrape(7)
    opened, before, names = small.opened, small.found(), small.opened.blocks()
    small.fill()

    with pytest.raises(StorageError, match="blocks: cannot write: No space left on device"):
        opened.db.maintain()
    during, left = small.found(), opened.blocks()
    opened.db.maintain()
    kept = (opened.directory / "reserve").exists()
    opened.again()
    small.hog.unlink()
    opened.clock.advance(PAUSE_SECONDS)
    opened.db.maintain()

    assert left == names
    assert kept, "a merge frees no log: the reserve is not for it"
    assert during == before == small.found()
    assert opened.blocks() == ["0000000004"]


@pytest.mark.parametrize("sees", [True, False])
def test_cleaning_without_room_is_refused_and_done_later(
    small: Small, request: pytest.FixtureRequest, *, sees: bool
) -> None:
    """What was deleted stays hidden; who asked for the room is told; housekeeping gets it back later."""
    if not sees:
        request.getfixturevalue("blind")
    small.scrape(3)
    opened = small.opened
    (name,) = opened.blocks()
    opened.db.delete_series([named("noise1")], *EVER)
    left = small.found()
    small.fill()

    with pytest.raises(StorageError, match="No space left on device"):
        opened.db.clean_tombstones()
    during, names = small.found(), opened.blocks()
    opened.again()
    again = small.found()
    small.hog.unlink()
    opened.clock.advance(PAUSE_SECONDS)
    opened.db.maintain()

    assert names == [name]
    assert left == during == again == small.found()
    assert len(left) == len(NOISE) // 2
    assert opened.blocks() != [name]


def test_deleting_without_room_is_refused_whole(small: Small) -> None:
    """A deletion that cannot be noted deletes nothing, now or after a restart; with room it is done."""
    small.scrape(3)
    opened, before = small.opened, small.found()
    small.fill()

    with pytest.raises(StorageError, match=os.strerror(errno.ENOSPC)):
        opened.db.delete_series([named("noise1")], *EVER)
    during = small.found()
    opened.again()
    again = small.found()
    small.hog.unlink()
    opened.db.delete_series([named("noise1")], *EVER)

    assert before == during == again
    assert len(small.found()) == len(NOISE) // 2


def test_late_samples_without_room_do_not_fill_the_disk(small: Small) -> None:
    """A block that cannot be written is tried again, but the log does not get a segment for each try."""
    opened = small.opened
    small.scrape(3)
    (ref,) = opened.db.series([UP])
    ts, noise = np.arange(30_000), np.random.default_rng(0).random(30_000)
    opened.db.append_samples(np.full(len(ts), ref), ts, noise).wait()
    opened.clock.advance(3 * HOUR)
    small.fill()
    with small.hog.open("r+b") as file:
        file.truncate(small.hog.stat().st_size - 65_536)
    failed = 0
    for number in range(20):
        one = np.array([ref]), np.array([number + 50_000]), np.ones(1)
        opened.db.append_samples(*one).wait()
        try:
            opened.db.maintain()
        except StorageError:
            failed += 1
    segments, during = list((opened.directory / "wal").iterdir()), small.found()
    small.hog.unlink()
    opened.db.maintain()

    assert failed == 20
    assert len(segments) < 5
    assert len(during[UP]) == 30_020
    assert small.found() == during
    opened.again()
    assert small.found() == during
