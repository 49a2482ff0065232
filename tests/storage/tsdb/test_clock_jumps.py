"""A clock that jumps: log, lane and head stay bounded, and nothing that was acknowledged is lost."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec.structs import replace

from model.labels import Labels
from model.samples import ScrapeBatch
from storage.interface import Hints
from tests.storage.points import points
from tests.storage.tsdb.opened import SETTINGS, Opened

HOUR = 3600
DAY = 24 * HOUR
SCRAPED = [Labels.of({"__name__": "scraped", "i": str(i)}) for i in range(8)]
SENT = [Labels.of({"__name__": "sent", "i": str(i)}) for i in range(8)]


class Jumpy:
    """A store under a clock that jumps, and all that it acknowledged."""

    def __init__(self, directory: Path) -> None:
        self.opened = Opened(directory)
        self.opened.settings = replace(SETTINGS, segment_bytes=1 << 16, retention_ms=0)
        self.opened.again()
        self.wanted: dict[Labels, dict[int, float]] = {one: {} for one in SCRAPED + SENT}
        self.rng = np.random.default_rng(0)
        self.largest = {"log": 0, "lane": 0, "columns": 0}

    def work(self, seconds: int) -> None:
        """Scrape, and take remote writes, once a minute; housekeeping comes every five."""
        db, clock = self.opened.db, self.opened.clock
        for step in range(seconds // 60):
            clock.advance(60)
            now = clock.now_ns() // 1_000_000
            values = self.rng.random(8)
            db.append(ScrapeBatch(db.layout(SCRAPED), now, values))
            db.append_samples(db.series(SENT), np.full(8, now), values)
            for labels in (SCRAPED, SENT):
                for one, value in zip(labels, values.tolist(), strict=True):
                    self.wanted[one][now] = value
            if step % 5 == 0:
                db.maintain()
            if step % 30 == 29:
                self.look()

    def look(self) -> None:
        """Note how much is held."""
        db = self.opened.db
        db.flush()
        columns = sum(chunk.width for chunk in db._head.sealed) + int(
            db._head.slab.count.data.sum()
        )
        now = {"log": db._wal.size_bytes, "lane": db._head.lane.size, "columns": columns}
        self.largest = {name: max(self.largest[name], size) for name, size in now.items()}

    def check(self) -> None:
        """Ask for everything."""
        found = points(self.opened.db.select([], 0, 2**62, Hints()))
        assert found == {labels: sorted(s.items()) for labels, s in self.wanted.items()}


JUMPS = {
    "a day ahead and back": [DAY, -DAY],
    "a year ahead and back": [365 * DAY, -365 * DAY],
    "a minute in a year, and back": [365 * DAY, -365 * DAY + 60],
    "an hour back": [-HOUR],
    "back and forth": [-HOUR, HOUR, -3 * HOUR, 3 * HOUR],
    "a day back and ahead": [-DAY, DAY],
}


RESTARTED = ["a day ahead and back", "a minute in a year, and back", "back and forth"]


@pytest.mark.parametrize(
    ("jumps", "restart"), [(name, False) for name in JUMPS] + [(name, True) for name in RESTARTED]
)
def test_a_clock_that_jumps(tmp_path: Path, jumps: str, *, restart: bool) -> None:
    """What is held once the clock goes on as usual is as much as without jumps."""
    steady = Jumpy(tmp_path / "steady")
    steady.work(9 * HOUR)
    steady.opened.db.stop()
    jumpy = Jumpy(tmp_path / "jumpy")
    jumpy.work(3 * HOUR)
    for seconds in JUMPS[jumps]:
        jumpy.opened.clock.advance(seconds)
        jumpy.work(60 if "minute" in jumps else HOUR)
        if restart:
            jumpy.opened.again()
    jumpy.check()
    jumpy.work(9 * HOUR)
    jumpy.largest = dict.fromkeys(jumpy.largest, 0)
    jumpy.work(9 * HOUR)
    jumpy.check()
    jumpy.opened.again()
    jumpy.check()
    jumpy.opened.db.stop()

    assert jumpy.largest["log"] < 2 * steady.largest["log"]
    assert jumpy.largest["lane"] < 3 * steady.largest["lane"]
    assert jumpy.largest["columns"] < 2 * steady.largest["columns"]


def test_a_target_that_was_there_while_the_clock_was_wrong_is_let_go(opened: Opened) -> None:
    """Its rows are given back as soon as it is idle by the clock as it is now."""
    opened.clock.advance(DAY)
    opened.scrape(60)
    opened.clock.advance(-DAY)
    opened.db.maintain()
    opened.clock.advance(SETTINGS.idle_ms / 1000 + 1)
    opened.db.maintain()

    assert opened.db.stats().head_rows == 0
    assert opened.times() == [DAY + n for n in (15, 30, 45, 60)]


def test_a_merge_that_waits_does_not_wait_for_a_wrong_clock(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause after a full disk is ten minutes, wherever the clock was when it began."""
    for _ in range(4):
        opened.scrape(2 * HOUR, step=60)
        opened.db._compactor.run(opened.clock.now_ns() // 1_000_000)
    blocks = opened.blocks()
    opened.clock.advance(DAY)
    with monkeypatch.context() as patch:
        patch.setattr(
            "storage.tsdb.merging.shutil.disk_usage", lambda path: SimpleNamespace(free=0)
        )
        opened.db.maintain()
    opened.clock.advance(HOUR - DAY)
    opened.db.maintain()

    assert opened.failures("merge") == 1
    assert not set(blocks) & set(opened.blocks())
