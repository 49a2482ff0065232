"""From files to sinks, through rotation, restarts and sinks that are down."""

import threading
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from logship.shipper import Settings
from model.catalog import CATALOG
from model.errors import DeliveryError
from model.labels import METRIC_NAME
from model.task import TaskState
from tests.fakes.tasks import FakeTaskSource, make_task
from tests.logship.harness import QUICK, shipper, until, wrap
from tests.logship.recording import RecordingSink


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    """An empty sandbox directory."""
    path = tmp_path / "sandbox"
    path.mkdir()
    return path


def numbered(first: int, last: int) -> str:
    """Return lines with numbers."""
    return "".join(f"line {n}\n" for n in range(first, last))


def test_lines_of_sandbox_and_json_file_arrive(tmp_path: Path, sandbox: Path) -> None:
    """Both kinds of files are read from their start, each record with its task and stream."""
    (sandbox / "stdout").write_text("out\n")
    (sandbox / "stderr").write_text("err\n")
    log = tmp_path / "c-json.log"
    log.write_text(wrap("one\n") + wrap("two\n", "stderr"))
    tasks = FakeTaskSource(
        make_task("plain", sandbox=str(sandbox)),
        make_task("docker", log_path=str(log), log_driver="json-file"),
    )
    sink = RecordingSink()
    ship = shipper(tasks, tmp_path / "state", sink)

    ship.start()
    arrived = until(lambda: len(sink.records) == 4)
    ship.stop()

    assert arrived
    found = {(b.identity.task_name, b.stream, b.text(0)) for b in sink.batches}
    assert found == {
        ("plain", "stdout", "out"),
        ("plain", "stderr", "err"),
        ("docker", "stdout", "one"),
        ("docker", "stderr", "two"),
    }


def test_rotation_storm_loses_and_repeats_nothing(tmp_path: Path, sandbox: Path) -> None:
    """A writer that renames its file every few lines is followed; the order within the task holds."""
    sink = RecordingSink()
    ship = shipper(FakeTaskSource(make_task(sandbox=str(sandbox))), tmp_path / "state", sink)
    total = 3000

    def write() -> None:
        live = (sandbox / "stdout").open("a")
        for n in range(total):
            live.write(f"line {n}\n")
            if n % 100 == 99:
                live.close()
                for number in range(8, 0, -1):
                    older = sandbox / f"stdout.{number}"
                    if older.exists():
                        older.rename(sandbox / f"stdout.{number + 1}")
                (sandbox / "stdout").rename(sandbox / "stdout.1")
                live = (sandbox / "stdout").open("a")
                until(lambda: False, 0.02)
        live.close()

    ship.start()
    writer = threading.Thread(target=write)
    writer.start()
    writer.join()
    arrived = until(lambda: len(sink.records) >= total, 20)
    ship.stop()

    assert arrived
    assert sorted(sink.texts) == sorted(f"line {n}" for n in range(total))
    assert sink.repeats == 0


def test_rotation_while_not_running(tmp_path: Path, sandbox: Path) -> None:
    """After a restart the rotated files go on where they were, by content and not by name."""
    tasks = FakeTaskSource(make_task(sandbox=str(sandbox)))
    sink = RecordingSink()
    (sandbox / "stdout").write_text(numbered(0, 10))
    first = shipper(tasks, tmp_path / "state", sink)
    first.start()
    until(lambda: len(sink.records) == 10)
    first.stop()
    with (sandbox / "stdout").open("a") as live:
        live.write(numbered(10, 20))
    (sandbox / "stdout").rename(sandbox / "stdout.2")
    (sandbox / "stdout.1").write_text(numbered(20, 30))
    (sandbox / "stdout").write_text(numbered(30, 40))

    second = shipper(tasks, tmp_path / "state", sink)
    second.start()
    arrived = until(lambda: len(sink.records) == 40)
    second.stop()

    assert arrived
    assert sink.texts == [f"line {n}" for n in range(40)]
    assert sink.repeats == 0


def test_file_with_a_reused_inode_and_first_line_is_another_file(tmp_path: Path, sandbox: Path) -> None:  # fmt: skip
    """A file truncated in place and written anew with the same first line is read from its start, and counted."""
    sink = RecordingSink()
    path = sandbox / "stdout"
    path.write_text("hello\n" + numbered(0, 50))
    registry = CollectorRegistry()
    ship = shipper(FakeTaskSource(make_task(sandbox=str(sandbox))), tmp_path / "state", sink, registry=registry)  # fmt: skip
    ship.start()
    before = until(lambda: len(sink.records) == 51)

    with path.open("r+") as live:
        live.truncate(0)
        live.write("hello\nafter\n")
    after = until(lambda: "after" in sink.texts)
    ship.stop()

    assert before
    assert after
    assert sink.texts.count("hello") == 2
    assert registry.get_sample_value("taskscope_logship_truncated_files_total") == 1


def test_removed_file_is_read_to_its_end(tmp_path: Path, sandbox: Path) -> None:
    """A container that is gone before the first poll has its lines, since its file was opened at sight."""
    log = tmp_path / "gone-json.log"
    log.write_text("".join(wrap(f"{n}\n") for n in range(1000)))
    sink = RecordingSink()
    sink.failing = DeliveryError("not now", retryable=True)
    task = make_task(log_path=str(log), log_driver="json-file", state=TaskState.FAILED)
    tasks = FakeTaskSource(task)
    ship = shipper(tasks, tmp_path / "state", sink)

    ship.start()
    log.unlink()
    tasks.set()
    sink.failing = None
    arrived = until(lambda: len(sink.records) == 1000)
    retired = until(lambda: ship.status().streams == 0)
    ship.stop()

    assert arrived
    assert retired


def test_last_line_without_newline_arrives_when_the_task_has_ended(tmp_path: Path, sandbox: Path) -> None:  # fmt: skip
    """As long as the task runs, half a line waits for its other half."""
    (sandbox / "stdout").write_text("whole\nhal")
    tasks = FakeTaskSource(make_task(sandbox=str(sandbox)))
    sink = RecordingSink()
    ship = shipper(tasks, tmp_path / "state", sink)
    ship.start()
    until(lambda: sink.records)
    waited = not until(lambda: len(sink.records) > 1, 1.5)

    tasks.set(make_task(sandbox=str(sandbox), state=TaskState.FINISHED))
    arrived = until(lambda: sink.texts == ["whole", "hal"])
    ship.stop()

    assert waited
    assert arrived


def test_sink_that_is_down_does_not_hold_up_the_other(tmp_path: Path, sandbox: Path) -> None:
    """With its buffer full the one stops being read for; when it is back it gets all that it missed."""
    (sandbox / "stdout").write_text("".join(f"{n:0100d}\n" for n in range(60_000)))  # 6 MB
    good, bad = RecordingSink("good"), RecordingSink("bad")
    bad.failing = DeliveryError("the disk is full", retryable=True)
    settings = Settings(buffer_bytes=1 << 20, poll_interval_seconds=0.02, docker_socket="")
    ship = shipper(FakeTaskSource(make_task(sandbox=str(sandbox))), tmp_path / "state", good, bad, settings=settings)  # fmt: skip
    ship.start()
    good_has_all = until(lambda: len(good.records) == 60_000, 20)
    said = {s.name: (s.ok, s.message) for s in ship.status().sinks}

    bad.failing = None
    bad_has_all = until(lambda: len(bad.records) == 60_000, 30)
    ship.stop()

    assert good_has_all
    assert said["bad"] == (False, "the disk is full")
    assert said["good"][0]
    assert bad_has_all
    assert good.repeats == bad.repeats == 0


def test_positions_are_kept_per_sink(tmp_path: Path, sandbox: Path) -> None:
    """A sink that was down when Taskscope stopped goes on at its own place after the restart."""
    (sandbox / "stdout").write_text(numbered(0, 100))
    tasks = FakeTaskSource(make_task(sandbox=str(sandbox)))
    good, bad = RecordingSink("good"), RecordingSink("bad")
    bad.failing = DeliveryError("away", retryable=True)
    first = shipper(tasks, tmp_path / "state", good, bad)
    first.start()
    until(lambda: len(good.records) == 100)
    first.stop(timeout_seconds=1)
    bad.failing = None

    second = shipper(tasks, tmp_path / "state", good, bad)
    second.start()
    arrived = until(lambda: len(bad.records) == 100)
    second.stop()

    assert arrived
    assert good.repeats == 0


def test_100_mb_line_is_cut_and_what_follows_arrives(tmp_path: Path, sandbox: Path) -> None:
    """One line of 100 MB costs one marked record of 1 MiB; its neighbours are whole."""
    with (sandbox / "stdout").open("w") as file:
        file.write("before\n")
        for _ in range(100):
            file.write("x" * 1_000_000)
        file.write("\nafter\n")
    sink = RecordingSink()
    ship = shipper(FakeTaskSource(make_task(sandbox=str(sandbox))), tmp_path / "state", sink)

    ship.start()
    arrived = until(lambda: len(sink.records) == 3, 30)
    ship.stop()

    assert arrived
    assert [len(t) for t in sink.texts] == [6, 1 << 20, 5]
    long = next(b for b in sink.batches if b.original_bytes.any())
    assert int(long.original_bytes.max()) == 100_000_000


def test_rotated_file_without_a_line_end_does_not_hold_up_the_next(
    tmp_path: Path, sandbox: Path
) -> None:
    """A rotated file that is longer than a read window and has no line end is one cut record."""
    (sandbox / "stdout.1").write_text("x" * 12_000_000)
    (sandbox / "stdout").write_text("after\n")
    sink = RecordingSink()
    ship = shipper(FakeTaskSource(make_task(sandbox=str(sandbox))), tmp_path / "state", sink)

    ship.start()
    arrived = until(lambda: len(sink.records) == 2, 20)
    ship.stop()

    assert arrived
    assert [len(t) for t in sink.texts] == [1 << 20, 5]


def test_series_have_levels_bytes_and_lag(tmp_path: Path, sandbox: Path) -> None:
    """Every series is in the catalog, carries the task's identity and counts what was read."""
    (sandbox / "stdout").write_text("ERROR bad\nINFO good\nhm\n")
    sink = RecordingSink()
    task = make_task(sandbox=str(sandbox))
    ship = shipper(FakeTaskSource(task), tmp_path / "state", sink)
    ship.start()
    until(lambda: len(sink.records) == 3)
    until(lambda: ship.collect(0)[0].values[-2] == 0)

    (block,) = ship.collect(0)
    ship.stop()

    values = {
        (labels.get(METRIC_NAME), labels.get("level")): value
        for labels, value in zip(block.labels, block.values, strict=True)
    }
    assert values["log_lines_total", "error"] == 1
    assert values["log_lines_total", "none"] == 1
    assert values["log_bytes_total", ""] == 23
    assert values["taskscope_logship_lag_bytes", ""] == 0
    assert all(labels.get(METRIC_NAME) in CATALOG for labels in block.labels)
    assert all(labels.get("task_id") == task.identity.task_id for labels in block.labels)


def test_label_turns_shipping_off(tmp_path: Path, sandbox: Path) -> None:
    """``taskscope.logs.enabled: false`` is obeyed."""
    (sandbox / "stdout").write_text("secret\n")
    sink = RecordingSink()
    task = make_task(sandbox=str(sandbox), labels={"taskscope.logs.enabled": "false"})
    ship = shipper(FakeTaskSource(task), tmp_path / "state", sink)

    ship.start()
    arrived = until(lambda: sink.records, 0.3)
    ship.stop()

    assert not arrived
    assert ship.status().streams == 0


def test_link_in_a_sandbox_is_not_followed(tmp_path: Path, sandbox: Path) -> None:
    """A task cannot have the agent read a file for it; the problem is said."""
    (tmp_path / "shadow").write_text("root:x\n")
    (sandbox / "stdout").symlink_to(tmp_path / "shadow")
    sink = RecordingSink()
    ship = shipper(FakeTaskSource(make_task(sandbox=str(sandbox))), tmp_path / "state", sink)

    ship.start()
    said = until(lambda: ship.status().problems)
    ship.stop()

    assert said
    assert "stdout" in ship.status().problems[0]
    assert not sink.records


def test_stop_before_start_and_twice(tmp_path: Path) -> None:
    """Stopping is safe at any time."""
    ship = shipper(FakeTaskSource(), tmp_path / "state", RecordingSink(), settings=QUICK)
    ship.stop()
    other = shipper(FakeTaskSource(), tmp_path / "state", RecordingSink())
    other.start()
    other.stop()
    other.stop()

    assert other.status().streams == 0


def test_stop_does_not_wait_for_a_sink_that_is_away(tmp_path: Path, sandbox: Path) -> None:
    """A full disk or a node that is down does not hold up the end: it is tried once more; the lines wait in their files."""
    (sandbox / "stdout").write_text("one\ntwo\n")
    sink = RecordingSink("bad")
    sink.failing = DeliveryError("the disk is full", retryable=True)
    source = FakeTaskSource(make_task(sandbox=str(sandbox)))
    ship = shipper(source, tmp_path / "state", sink, settings=QUICK)
    ship.start()
    said = until(lambda: not ship.status().sinks[0].ok, 10)
    began = time.monotonic()
    ship.stop()
    took = time.monotonic() - began
    sink.failing = None
    again = shipper(source, tmp_path / "state", sink, settings=QUICK)
    again.start()
    arrived = until(lambda: len(sink.records) == 2, 10)
    again.stop()

    assert said
    assert took < 4
    assert arrived
