"""Which offsets are stored: intervals against a plain set."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storage.logdb.sources import MAX_INTERVALS, Sources

BATCH = st.tuples(st.integers(0, 40), st.integers(1, 8))


def _offsets(*values: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.array(values, dtype=np.int64)


@given(st.lists(BATCH, max_size=12))
def test_intervals_say_what_a_set_says(batches: list[tuple[int, int]]) -> None:
    """After any batches in any order an offset is new exactly if no batch covered it."""
    sources, stored = Sources(), set[int]()
    for start, length in batches:
        sources.add(7, start, start + length, 1)
        stored |= set(range(start, start + length))

    fresh = sources.new(7, _offsets(*range(60)))

    assert fresh.tolist() == [offset not in stored for offset in range(60)]


def test_rising_batches_make_one_interval() -> None:
    """Batches that follow each other take no more room than one."""
    sources = Sources()
    for start in range(0, 1000, 10):
        sources.add(1, start, start + 10, start)

    assert sources.dump() == [(1, 990, [(0, 1000)])]


def test_gaps_do_not_pile_up() -> None:
    """Where offsets are times every batch leaves a gap; only the youngest are remembered."""
    sources = Sources()
    for start in range(0, 100_000, 10):
        sources.add(1, start, start + 5, start)

    ((_, _, intervals),) = sources.dump()
    assert len(intervals) == MAX_INTERVALS
    assert (intervals[0][0], intervals[-1]) == (0, (99_990, 99_995))
    assert sources.new(1, _offsets(99_980, 99_987, 3)).tolist() == [False, True, False]
    assert sources.new(1, _offsets(99_989)).tolist() == [True]


def test_equal_offsets_within_a_batch_count_once() -> None:
    """A source that repeats itself within a batch is stored once."""
    assert Sources().new(1, _offsets(5, 5, 3, 5)).tolist() == [True, False, True, False]


def test_dump_and_load_and_forget() -> None:
    """What was dumped comes back; sources that have been silent for long are forgotten."""
    sources = Sources()
    sources.add(1, 0, 10, 100)
    sources.add(2, 5, 6, 200)
    again = Sources()
    again.load(sources.dump())

    assert again.dump() == sources.dump()

    again.forget_before(150)

    assert [row[0] for row in again.dump()] == [2]
