"""Events of tasks: what is news, and that nothing ends the watching."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from logship.spool.entry import batches_of
from model.task import Exit, Run, TaskState
from taskscope.events import TaskEvents
from tests.fakes.clock import FakeClock
from tests.fakes.tasks import FakeTaskSource, make_task

FIRST = Run(1, 1000, 2000, Exit(1))
SECOND = Run(2, 3000, 4000, Exit(137, 9, oom=True))
THIRD = Run(3, 5000)


@pytest.fixture
def source() -> FakeTaskSource:
    """Return tasks of which one has ended once before anybody looked."""
    return FakeTaskSource(make_task("a", runs=(FIRST,), state=TaskState.RESTARTING))


@pytest.fixture
def events(source: FakeTaskSource, tmp_path: Path) -> Iterator[TaskEvents]:
    """Return events of these tasks, being watched."""
    made = TaskEvents(source, tmp_path, FakeClock())
    made.start()
    yield made
    made.stop()
    made.stop()


def messages(events: TaskEvents, count: int) -> list[str]:
    """Return the messages written, once there are so many."""
    deadline = time.monotonic() + 10
    while True:
        batches = [b for payload in events.log.spool.recent() for b in batches_of(payload)]
        if len(batches) >= count or time.monotonic() > deadline:
            return [batch.text(0) for batch in batches]
        time.sleep(0.01)


def test_each_end_is_written_once(source: FakeTaskSource, events: TaskEvents) -> None:
    """Ends of before the start are no news; a run that goes on has none."""
    source.set(make_task("a", runs=(FIRST, SECOND, THIRD)))
    messages(events, 1)
    source.set(make_task("a", runs=(FIRST, SECOND, THIRD)), make_task("b", runs=(FIRST,)))

    assert messages(events, 2) == [
        "run 2 ended: exit code 137 (SIGKILL), out of memory",
        "run 1 ended: exit code 1",
    ]


def test_a_name_that_is_no_text_ends_nothing(source: FakeTaskSource, events: TaskEvents) -> None:
    """Docker's JSON may hold half a surrogate pair; that event is lost, the next is not."""
    bad, good = make_task("\ud800", runs=(FIRST,)), make_task("b", runs=(FIRST,))
    source.set(bad, good)
    messages(events, 1)
    source.set(bad, good, make_task("c", runs=(FIRST,)))

    assert messages(events, 2) == ["run 1 ended: exit code 1"] * 2
