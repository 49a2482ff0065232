"""When a deletion may be forgotten: not while a block, a reader or the log still has what it took."""

import threading
from collections.abc import Callable

import pytest

from model.labels import Labels
from storage.tsdb.block import Block
from storage.tsdb.blocks import Blocks
from tests.storage.tsdb.opened import UP, Opened
from tests.storage.tsdb.test_delete import EVER, HOUR, late, named, seen

GONE = Labels.of({"__name__": "gone", "job": "a"})


def listed(opened: Opened) -> list[str]:
    """Return the names of all metrics."""
    return opened.db.label_values("__name__", [], *EVER)


def noted(opened: Opened) -> int:
    """Return the number of deletions that are remembered on disk."""
    return len((opened.directory / "deletions").read_bytes().splitlines())


def next_window(opened: Opened) -> None:
    """Scrape until there is another block to write, and write it; the log of before it goes."""
    opened.scrape(2 * HOUR)
    opened.clock.advance(600)
    opened.db.maintain()


def meanwhile(monkeypatch: pytest.MonkeyPatch, call: int, work: Callable[[], None]) -> None:
    """Do something in another thread as soon as a query has taken its list of blocks for the n-th time."""
    real, calls = Blocks.touching, [0]

    def touching(blocks: Blocks, mint: int, maxt: int) -> list[Block]:
        found = real(blocks, mint, maxt)
        calls[0] += 1
        if calls[0] == call:
            thread = threading.Thread(target=work)
            thread.start()
            thread.join(30)
            assert not thread.is_alive()
        return found

    monkeypatch.setattr(Blocks, "touching", touching)


def test_who_reads_while_a_deletion_is_forgotten_sees_nothing_deleted(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query that began with the old block does not see in it what housekeeping just took out of it for good."""
    next_window(opened)
    opened.db.delete_series([named("up")], *EVER)
    assert seen(opened, UP) == []
    before = opened.blocks()
    with monkeypatch.context() as patch:
        meanwhile(patch, 2, lambda: next_window(opened))

        during = seen(opened, UP)

    assert before[0] not in opened.blocks()
    assert [t for t in during if t <= 2 * HOUR] == []
    opened.db.maintain()
    assert noted(opened) == 0
    assert min(seen(opened, UP)) > 2 * HOUR


@pytest.mark.parametrize("call", [2, 3])
def test_who_reads_while_a_series_is_forgotten_sees_nothing_deleted(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """The series of a deletion can be told as long as somebody reads a block that has its samples."""
    late(opened, GONE, [60])
    next_window(opened)
    opened.db.delete_series([named("gone")], *EVER)
    with monkeypatch.context() as patch:
        meanwhile(patch, call, lambda: next_window(opened))

        during = seen(opened, GONE)

    assert during == []


def test_who_lists_while_a_deletion_is_forgotten_sees_nothing_deleted(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a listing name a series of which all is gone."""
    late(opened, GONE, [60])
    next_window(opened)
    opened.db.delete_series([named("gone")], *EVER)
    with monkeypatch.context() as patch:
        meanwhile(patch, 2, lambda: next_window(opened))

        during = listed(opened)

    assert during == ["load", "up"]


def test_a_block_that_is_not_deleted_yet_keeps_its_deletion(opened: Opened) -> None:
    """A kill while somebody still reads a dropped block brings it back, but not what was deleted in it."""
    late(opened, GONE, [60])
    next_window(opened)
    opened.db.delete_series([named("gone")], *EVER)
    with opened.db._blocks.readers.reading():  # as a query that takes long
        next_window(opened)
        opened.db.maintain()
        kept = noted(opened)
    opened.db.maintain()

    assert kept == 1
    assert noted(opened) == 0
    assert seen(opened, GONE) == []


def test_an_emptied_newest_block_keeps_its_deletion(opened: Opened) -> None:
    """The newest block stays with all that was deleted in it; it is deleted, and it is not forgotten before."""
    next_window(opened)
    opened.db.delete_series([named("up"), named("load")], *EVER)
    opened.db.clean_tombstones()
    (emptied,) = opened.blocks()

    for step in range(3):
        assert [t for t in seen(opened, UP) if t <= 2 * HOUR] == [], step
        next_window(opened)

    assert emptied not in opened.blocks()
    assert noted(opened) == 0
    assert min(opened.times()) > 2 * HOUR


def test_each_of_several_deletions_is_forgotten_when_its_own_time_has_come(opened: Opened) -> None:
    """A block without anything of several deletions holds none of them back."""
    next_window(opened)
    for name in ("x", "y", "z"):
        opened.db.delete_series([named(name)], *EVER)
    before = opened.blocks()
    next_window(opened)

    assert noted(opened) == 0
    assert before[0] in opened.blocks()


@pytest.mark.parametrize("running", [True, False])
def test_a_deletion_does_not_take_a_new_block_for_one_that_was_set_aside(
    opened: Opened, *, running: bool
) -> None:
    """After the newest block was set aside, what is appended into a deleted range is seen and stays."""
    late(opened, GONE, [60])
    opened.clock.advance(3 * HOUR)
    opened.db.maintain()
    (name,) = opened.blocks()
    opened.db.delete_series([named("gone")], *EVER)
    index = opened.directory / "blocks" / name / "index"
    if running:
        index.write_bytes(b"?" * 100)
        opened.db._blocks.all[0].unload()  # as if nobody had asked for ten minutes
        assert seen(opened, GONE) == []
    else:
        opened.db.stop()
        index.unlink()
        index.with_name("meta.json").unlink()
    opened.again()
    assert opened.blocks() == []

    late(opened, GONE, [75])
    opened.clock.advance(3 * HOUR)
    opened.db.maintain()

    assert len(opened.blocks()) == 1
    assert seen(opened, GONE) == [75]
    opened.db.clean_tombstones()
    opened.again()
    assert seen(opened, GONE) == [75]


@pytest.mark.parametrize("deleted", [True, False])
def test_a_log_that_was_taken_away_does_not_make_new_samples_old_ones(
    opened: Opened, *, deleted: bool
) -> None:
    """After somebody removed the segments, new ones are neither taken for deleted ones nor for those in blocks."""
    late(opened, GONE, [60])
    opened.clock.advance(3 * HOUR)
    opened.db.maintain()
    if deleted:
        opened.db.delete_series([named("gone")], *EVER)
    opened.db.stop()
    for path in (opened.directory / "wal").iterdir():
        path.unlink()
    opened.again()

    late(opened, GONE, [75])
    opened.again()

    assert seen(opened, GONE) == ([75] if deleted else [60, 75])
