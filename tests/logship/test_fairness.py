"""A quiet task beside noisy ones, and thousands of quiet ones."""

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from logship.attention import Attention
from logship.shipper import Settings
from logship.source.watch import Watcher
from model.log import Delivery, LogBatch
from tests.fakes.tasks import FakeTaskSource, make_task
from tests.logship.harness import shipper, until
from tests.logship.recording import RecordingSink

NOISE = """
import os, sys, time
paths, rate, seconds = sys.argv[3:], float(sys.argv[1]), float(sys.argv[2])
block = b"".join(b"%07d a line of a task that has very much to say and says it again and again\\n" % n for n in range(3000))
began = time.monotonic()
written = 0
files = [open(path, "ab", 0) for path in paths]
while time.monotonic() - began < seconds:
    for number, file in enumerate(files):
        file.write(block)
        written += len(block)
        if file.tell() > 60 << 20:
            os.replace(paths[number], paths[number] + ".1")
            files[number] = open(paths[number], "ab", 0)
    time.sleep(max(0, written / rate - (time.monotonic() - began)))
print(written)
"""


class DelaySink:
    """Keeps the delays of the lines of one task; takes so many bytes a second at most."""

    name = "delay"

    def __init__(self, bytes_per_second: float) -> None:
        self.delays: list[float] = []
        self.size = 0
        self._pace = bytes_per_second

    def write(self, batches: Sequence[LogBatch], timeout_seconds: float) -> Sequence[Delivery]:
        size = sum(len(batch.buf) for batch in batches)
        self.size += size
        time.sleep(size / self._pace)
        now = time.time()
        for batch in batches:
            if batch.identity.task_name == "quiet":
                self.delays += [now - float(batch.text(row)) for row in range(len(batch))]
        return [Delivery(np.full(len(batch), 201, dtype=np.int16)) for batch in batches]

    def check(self, timeout_seconds: float) -> None:
        """It is there."""

    def close(self) -> None:
        """Nothing to let go of."""


@pytest.mark.alone
@pytest.mark.parametrize(
    ("noisy", "sink_mb_per_second"), [(1, 10_000), (1, 6), (20, 6)], ids=["one", "slow sink", "many and slow sink"]
)  # fmt: skip
def test_a_quiet_task_beside_50_mb_per_second(tmp_path: Path, noisy: int, sink_mb_per_second: float) -> None:  # fmt: skip
    """Its lines arrive within 5 s at p99, however far behind the neighbours are."""
    tasks = []
    for name in ("quiet", *(f"noisy-{n}" for n in range(noisy))):
        (tmp_path / name).mkdir()
        tasks.append(make_task(name, sandbox=str(tmp_path / name)))
    paths = [str(tmp_path / f"noisy-{n}" / "stdout") for n in range(noisy)]
    sink = DelaySink(sink_mb_per_second * 1e6)
    settings = Settings(docker_socket="")
    ship = shipper(FakeTaskSource(*tasks), tmp_path / "state", sink, settings=settings)
    ship.start()
    noise = subprocess.Popen([sys.executable, "-c", NOISE, "50e6", "4", *paths], stdout=subprocess.PIPE)  # fmt: skip
    count = 0
    while noise.poll() is None:
        with (tmp_path / "quiet" / "stdout").open("a") as file:
            file.write(f"{time.time()}\n")
        count += 1
        time.sleep(0.05)
    until(lambda: len(sink.delays) == count)
    assert noise.stdout is not None
    written = int(noise.stdout.read())
    noise.stdout.close()

    def lag() -> float:
        return float(sum(block.values[-2] for block in ship.collect(0)))

    known = until(lambda: abs(written - sink.size - lag()) < 30e6, 5)  # of what is seen
    ship.stop(1.0)

    assert written > 100e6  # else there was no noise to speak of
    assert len(sink.delays) == count
    assert np.percentile(sink.delays, 99) < 5
    assert known


def test_thousand_files_two_threads(tmp_path: Path) -> None:
    """A thousand tasks need no thread each; quiet ones are not looked at, and a line in any of them arrives at once."""
    tasks = []
    for number in range(1000):
        folder = tmp_path / f"task-{number}"
        folder.mkdir()
        (folder / "stdout").write_text("hello\n")
        tasks.append(make_task(f"task-{number}", sandbox=str(folder)))
    sink = RecordingSink()
    before = threading.active_count()
    ship = shipper(FakeTaskSource(*tasks), tmp_path / "state", sink, settings=Settings(docker_socket=""))  # fmt: skip
    ship.start()
    arrived = until(lambda: len(sink.records) == 1000, 20)
    threads = threading.active_count() - before
    rest = until(lambda: ship._attention.hot == 0, 20)
    delays = []
    for number in range(0, 1000, 100):
        began = time.monotonic()
        with (tmp_path / f"task-{number}" / "stdout").open("a") as file:
            file.write(f"line {number}\n")
        until(lambda text=f"line {number}": text in sink.texts)  # type: ignore[misc]  # a default that binds
        delays.append(time.monotonic() - began)
    ship.stop()

    assert arrived
    assert threads == 3  # reader, watcher of tasks, one sink
    assert rest
    assert sorted(delays)[5] < 0.3


@pytest.mark.parametrize("change", ["append", "truncate", "rename", "unlink", "create", "relink"])
def test_what_wakes_a_quiet_log(tmp_path: Path, change: str) -> None:
    """Everything that can happen to a file and to its name is told, once."""
    watcher = Watcher()
    path = tmp_path / "log"
    if change != "create":
        path.write_text("x\n")
    if change == "relink":
        (tmp_path / "other").write_text("y\n")
        (tmp_path / "link").symlink_to(path)
    watched = tmp_path / "link" if change == "relink" else path
    told = watcher.watch("key", watched, tmp_path if change == "relink" else None)
    quiet = watcher.wait(0.05)
    if change in ("append", "create"):
        with path.open("a") as file:
            file.write("y\n")
    elif change == "truncate":
        path.write_text("")
    elif change == "rename":
        path.rename(tmp_path / "log.1")
    elif change == "unlink":
        path.unlink()
    else:
        (tmp_path / "new").symlink_to("other")
        (tmp_path / "new").rename(tmp_path / "link")
    woken = watcher.wait(1.0)
    watcher.ring()
    rung = watcher.wait(1.0)
    watcher.close()
    watcher.close()

    assert told
    assert quiet == set()
    assert woken == {"key"}
    assert rung <= {"key"}


def test_without_inotify_files_are_polled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel cannot tell (its limit is reached), nothing is late for it."""
    monkeypatch.setattr(Watcher, "watch", lambda *_: False)
    (tmp_path / "stdout").write_text("one\n")
    sink = RecordingSink()
    registry = CollectorRegistry()
    ship = shipper(FakeTaskSource(make_task(sandbox=str(tmp_path))), tmp_path / "state", sink, registry=registry)  # fmt: skip
    ship.start()
    until(lambda: False, 4.0)
    hot = ship._attention.hot
    with (tmp_path / "stdout").open("a") as file:
        file.write("two\n")
    arrived = until(lambda: sink.texts == ["one", "two"], 1.0)
    ship.stop()

    assert hot == 2
    assert arrived


def test_lost_notices_wake_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the kernel's queue overflowed, and where a file system tells nothing at all, looking helps."""
    monkeypatch.setattr("logship.attention.SWEEP_SECONDS", 0.5)
    monkeypatch.setattr(Attention, "wait", lambda self, *, more: time.sleep(0.05))
    (tmp_path / "stdout").write_text("one\n")
    sink = RecordingSink()
    ship = shipper(FakeTaskSource(make_task(sandbox=str(tmp_path))), tmp_path / "state", sink)
    ship.start()
    rest = until(lambda: ship._attention.hot == 0)
    with (tmp_path / "stdout").open("a") as file:
        file.write("two\n")
    arrived = until(lambda: sink.texts == ["one", "two"], 3.0)
    ship.stop()

    assert rest
    assert arrived
