"""What happened to tasks is shipped among their own lines."""

from pathlib import Path

from msgspec.structs import replace

from logship.events import DATASET, EventLog
from logship.wire import encode
from model.log import Level
from model.task import TaskID
from tests.fakes.clock import FakeClock
from tests.fakes.tasks import SHOP, FakeTaskSource
from tests.logship.harness import REDACTOR, shipper, until
from tests.logship.recording import RecordingSink

OTHER = replace(SHOP, task_id=TaskID("other"), task_name="other-1")


def test_events_arrive_as_records_of_their_tasks(tmp_path: Path) -> None:
    """Each with its task, level, time and fields, in the data stream of events."""
    clock = FakeClock()
    events = EventLog(tmp_path / "events", clock)
    sink = RecordingSink()
    ship = shipper(FakeTaskSource(), tmp_path / "state", sink, spools=[events.spool])
    ship.start()

    events.append(SHOP, Level.ERROR, "ended with exit code 1", {"exit_code": 1})
    events.append(OTHER, Level.WARN, "unhealthy", {})
    events.append(SHOP, Level.INFO, "started", {"run": 2})
    arrived = until(lambda: len(sink.records) == 3)
    ship.stop()

    assert arrived
    found = {(b.identity.task_id, b.text(row), int(b.levels[row]), b.dataset) for b in sink.batches for row in range(len(b))}  # fmt: skip
    assert found == {
        (SHOP.task_id, "ended with exit code 1", Level.ERROR, DATASET),
        (SHOP.task_id, "started", Level.INFO, DATASET),
        (OTHER.task_id, "unhealthy", Level.WARN, DATASET),
    }
    assert all(int(ts) == clock.now_ns() for b in sink.batches for ts in b.ts_ns)


def test_each_task_is_a_source_of_its_own(tmp_path: Path) -> None:
    """A store that takes a batch for all its source holds up to the end loses no other task's event."""
    events = EventLog(tmp_path / "events", FakeClock())
    for _ in range(3):
        events.append(SHOP, Level.INFO, "a", {})
        events.append(OTHER, Level.INFO, "b", {})
    sink = RecordingSink()
    ship = shipper(FakeTaskSource(), tmp_path / "state", sink, spools=[events.spool])

    ship.start()
    arrived = until(lambda: len(sink.records) == 6)
    ship.stop()

    assert arrived
    assert len({b.source_id for b in sink.batches}) == 2


def test_events_survive_a_restart_and_hold_no_secret(tmp_path: Path) -> None:
    """What was appended while nobody shipped arrives later; nothing secret stands on the disk."""
    events = EventLog(tmp_path / "events", FakeClock(), REDACTOR)
    events.append(SHOP, Level.WARN, "check says password=hunter22", {"token": "x" * 20})
    on_disk = b"".join(p.read_bytes() for p in (tmp_path / "events").iterdir())
    again = EventLog(tmp_path / "events", FakeClock(), REDACTOR)
    again.append(SHOP, Level.INFO, "two", {})
    sink = RecordingSink()
    ship = shipper(FakeTaskSource(), tmp_path / "state", sink, spools=[again.spool])

    ship.start()
    arrived = until(lambda: len(sink.records) == 2)
    ship.stop()

    assert arrived
    assert sink.texts == ["check says password=[REDACTED:key_value]", "two"]
    assert b"hunter22" not in on_disk
    assert b"hunter22" not in encode(sink.batches)
