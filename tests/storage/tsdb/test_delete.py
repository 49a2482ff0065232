"""Deleting series: at once, for good, and only what was there."""

from collections.abc import Callable

import numpy as np
import pytest
from msgspec.structs import replace

from model.errors import QueryError, StorageError
from model.labels import Labels, Matcher, MatchOp
from model.samples import ScrapeBatch
from storage.interface import Hints
from tests.storage.points import points
from tests.storage.tsdb.opened import LOAD, START_MS, UP, Opened

HOUR = 3600
EVER = (0, 2**62)


def named(name: str) -> list[Matcher]:
    """Return the matchers of one metric."""
    return [Matcher("__name__", MatchOp.EQUAL, name)]


def late(opened: Opened, labels: Labels, seconds: list[int], value: float = 5.0) -> None:
    """Append samples with their own times."""
    refs = opened.db.series([labels])
    ts = START_MS + np.array(seconds, dtype=np.int64) * 1000
    opened.db.append_samples(np.repeat(refs, len(ts)), ts, np.full(len(ts), value)).wait()


def seen(opened: Opened, labels: Labels) -> list[int]:
    """Return the times of a series' samples, in seconds after the start."""
    found = points(opened.db.select([], *EVER, Hints()))
    return [(ts - START_MS) // 1000 for ts, _ in found.get(labels, [])]


def nothing(opened: Opened) -> None:
    """Leave everything in memory."""


def to_blocks(opened: Opened) -> None:
    """Move what is over to blocks, and let the rest be in memory."""
    opened.db.maintain()


def seal(opened: Opened) -> None:
    """Move the slab's columns to chunks in memory."""
    opened.clock.advance(700)
    opened.db.maintain()


@pytest.mark.parametrize("where", [nothing, to_blocks, seal])
@pytest.mark.parametrize(
    ("low", "high"), [(0, 5 * HOUR), (HOUR, 2 * HOUR + 600), (5 * HOUR - 30, 5 * HOUR), (60, 60)]
)
def test_deleted_samples_are_gone_at_once_and_for_good(
    opened: Opened, where: Callable[[Opened], None], low: int, high: int
) -> None:
    """Wherever samples are, a deletion takes exactly its range of its series: now, after a restart, when cleaned."""
    opened.scrape(5 * HOUR)
    late(opened, Labels.of({"__name__": "up", "job": "late"}), [30, 60, 3 * HOUR])
    where(opened)

    opened.db.delete_series([named("up")], START_MS + low * 1000, START_MS + high * 1000)

    scraped = [t for t in range(15, 5 * HOUR + 1, 15) if not low <= t <= high]
    others = [t for t in (30, 60, 3 * HOUR) if not low <= t <= high]
    for step in (
        nothing,
        lambda o: o.again(),
        lambda o: o.db.clean_tombstones(),
        lambda o: o.again(),
    ):
        step(opened)
        assert seen(opened, UP) == scraped
        assert seen(opened, Labels.of({"__name__": "up", "job": "late"})) == others
        assert opened.times() == list(range(15, 5 * HOUR + 1, 15))


def test_series_without_samples_are_not_listed(opened: Opened) -> None:
    """A series of which nothing is left is found no more by its labels, in memory or in blocks."""
    opened.scrape(3 * HOUR)
    opened.db.maintain()
    late(opened, UP, [20])

    opened.db.delete_series([named("up")], *EVER)

    assert opened.db.label_values("__name__", [], *EVER) == ["load"]
    found = opened.db.select(named("up"), *EVER, Hints(series_only=True))
    assert found.labels.size == 0


@pytest.mark.parametrize("where", [nothing, to_blocks])
def test_what_is_appended_afterwards_is_seen(
    opened: Opened, where: Callable[[Opened], None]
) -> None:
    """New samples of a deleted series are seen, also inside the deleted range and after a restart."""
    opened.scrape(3 * HOUR)
    where(opened)
    opened.db.delete_series([named("up"), named("load")], *EVER)

    late(opened, UP, [60, 75])
    opened.scrape(30)
    where(opened)
    opened.again()

    assert seen(opened, UP) == [60, 75, 3 * HOUR + 15, 3 * HOUR + 30]
    assert seen(opened, LOAD) == [3 * HOUR + 15, 3 * HOUR + 30]


def test_only_all_matchers_of_one_set_delete(opened: Opened) -> None:
    """Sets are alternatives; within a set all matchers must pass."""
    opened.scrape(60)

    opened.db.delete_series(
        [
            [*named("up"), Matcher("job", MatchOp.EQUAL, "b")],
            [Matcher("job", MatchOp.REGEX, "x|y")],
        ],
        *EVER,
    )
    assert seen(opened, UP) == [15, 30, 45, 60]

    opened.db.delete_series([[], named("load")], *EVER)
    assert seen(opened, UP) == opened.times() == []


def test_a_deletion_that_cannot_be_deletes_nothing(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong pattern, or a disk that takes nothing, leaves everything as it was."""
    opened.scrape(60)

    def full(path: object, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(QueryError):
        opened.db.delete_series([[Matcher("job", MatchOp.REGEX, "(")]], *EVER)
    with monkeypatch.context() as patch:
        patch.setattr("storage.tsdb.deletions.replace_synced", full)
        with pytest.raises(StorageError, match="No space left"):
            opened.db.delete_series([named("up")], *EVER)
    assert seen(opened, UP) == [15, 30, 45, 60]
    opened.again()
    assert seen(opened, UP) == [15, 30, 45, 60]


def test_deletions_are_forgotten_when_nothing_holds_what_they_took(opened: Opened) -> None:
    """The file of deletions ends with the blocks and log segments that they concern; blocks get smaller."""
    opened.scrape(3 * HOUR)
    opened.db.maintain()
    size = opened.db.stats().block_bytes
    opened.db.delete_series([named("load")], *EVER)
    opened.db.clean_tombstones()
    cleaned = opened.db.stats().block_bytes
    noted = (opened.directory / "deletions").read_text(encoding="utf-8").splitlines()

    for _ in range(3):
        opened.scrape(2 * HOUR)
        late(opened, LOAD, [7], START_MS / 1000 + 7)
        opened.db.maintain()
    left = (opened.directory / "deletions").read_text(encoding="utf-8").splitlines()

    assert (len(noted), len(left)) == (1, 0)
    assert cleaned < size
    assert opened.times() == [7, *range(3 * HOUR + 15, 9 * HOUR + 1, 15)]


def test_a_whole_block_may_go(opened: Opened) -> None:
    """Blocks of which nothing is left are deleted; the newest stays, it says what is in blocks."""
    opened.settings = replace(opened.settings, longest_block_ms=2 * HOUR * 1000)
    opened.again()
    for _ in range(3):
        opened.scrape(2 * HOUR)
        opened.clock.advance(600)
        opened.db.maintain()
    before = opened.blocks()
    opened.db.delete_series([named("up"), named("load")], START_MS, START_MS + 100 * HOUR * 1000)
    opened.db.clean_tombstones()
    left = opened.blocks()
    opened.again()
    refs = opened.db.layout([UP, LOAD])
    opened.db.append(ScrapeBatch(refs, START_MS + 7 * HOUR * 1000, np.array([1.0, 2.0])))

    assert len(before) > len(left) == 1
    assert seen(opened, UP) == [7 * HOUR]
