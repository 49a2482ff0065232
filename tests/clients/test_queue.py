"""The client's queue: bounded, counted, and in order whatever is put back."""

from taskscope_logging import _queue
from taskscope_logging._queue import Queue


def queue(records: int, size_bytes: int = 1 << 20) -> Queue:
    """Return an empty one."""
    return Queue(records, size_bytes, lambda lost: b"lost %d" % lost)


def fill(target: Queue, *numbers: int) -> None:
    """Put records of four bytes."""
    for number in numbers:
        target.put(b"%04d" % number)


def taken(target: Queue, *, notices: bool = True) -> list[str]:
    """Take a batch."""
    return [record.decode() for record in target.take(notices=notices)]


def test_the_oldest_go_and_that_is_said_behind_what_is_left() -> None:
    """By records and by bytes; said once."""
    by_records, by_bytes = queue(3), queue(100, 12)
    for target in (by_records, by_bytes):
        fill(target, *range(5))
        assert taken(target) == ["0002", "0003", "0004", "lost 2"]
        fill(target, 5)
        assert (taken(target), target.dropped) == (["0005"], 2)


def test_what_is_put_back_is_the_oldest_again() -> None:
    """Before what came meanwhile; over the bounds, it is what goes."""
    target = queue(_queue.BATCH_RECORDS + 2)
    fill(target, *range(_queue.BATCH_RECORDS + 2))
    first = target.take(notices=False)
    assert len(first) == _queue.BATCH_RECORDS
    target.put_back(first)
    assert target.take(notices=False) == first
    fill(target, 2000)
    target.put_back(first)
    assert target.dropped == 1
    assert target.take(notices=False) == [*first[1:], b"1000"]
    assert taken(target) == ["1001", "2000", "lost 1"]


def test_what_is_to_be_said_waits_for_who_can_say_it() -> None:
    """It follows records; what goes to disk does not take it along."""
    target = queue(10)
    target.notice(b"note")
    assert taken(target) == []
    fill(target, 1, 2)
    assert taken(target, notices=False) == ["0001", "0002"]
    fill(target, 3)
    assert taken(target) == ["0003", "note"]


def test_closed_it_takes_nothing_and_counts() -> None:
    """What comes, and what is given up."""
    target = queue(10)
    fill(target, 1, 2)
    target.close()
    assert not target.put(b"late")
    target.give_up()
    assert (len(target), target.dropped) == (0, 3)
