"""Rotation in all its ways: nothing is lost that could be read, nothing comes twice."""

import errno
import gzip
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from logship.checkpoint import CheckpointFile
from logship.shipper import Shipper
from model.errors import DeliveryError
from tests.fakes.tasks import FakeTaskSource, make_task
from tests.logship.harness import shipper, until
from tests.logship.recording import RecordingSink

BANNER = "Starting shop 1.0\n"


class Ship:
    """A shipper of one sandbox that can be stopped, killed and started again."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "sandbox" / "stdout"
        self.log.parent.mkdir()
        self.state = directory / "state"
        self.sink = RecordingSink()
        self.registry = CollectorRegistry()
        self._tasks = FakeTaskSource(make_task(sandbox=str(self.log.parent)))
        self._ship: Shipper | None = None

    def start(self) -> None:
        self.registry = CollectorRegistry()
        self._ship = shipper(self._tasks, self.state, self.sink, registry=self.registry)
        self._ship.start()

    def stop(self) -> None:
        if self._ship is not None:
            self._ship.stop()
            self._ship = None

    def add(self, *texts: str) -> None:
        """Append lines."""
        with self.log.open("a") as file:
            file.writelines(f"{text}\n" for text in texts)

    def arrives(self, *texts: str) -> bool:
        """Wait until all of them, and nothing else, are there."""
        return until(lambda: Counter(self.sink.texts) == Counter(texts)) and not until(
            lambda: Counter(self.sink.texts) != Counter(texts), 0.1
        )

    def diff(self, texts: list[str]) -> tuple[Counter[str], Counter[str]]:
        """Return what is missing and what is too much."""
        here, wanted = Counter(self.sink.texts), Counter(texts)
        return wanted - here, here - wanted

    def has(self, text: str) -> bool:
        """Tell whether a line is there."""
        return text in self.sink.texts

    def count(self, name: str) -> float:
        return self.registry.get_sample_value(f"taskscope_logship_{name}_total") or 0.0


@pytest.fixture
def ship(tmp_path: Path) -> Iterator[Ship]:
    """One that is not started yet."""
    ship = Ship(tmp_path)
    yield ship
    ship.stop()


def lines(first: int, last: int) -> list[str]:
    """Return numbered lines."""
    return [f"line {n}" for n in range(first, last)]


# ---------------------------------------------------------------- what rotates


def rename(log: Path) -> None:
    """As Mesos and Docker do."""
    log.rename(log.with_name("stdout.1"))
    log.touch()


def copy_truncate(log: Path) -> None:
    """As logrotate's copytruncate does."""
    shutil.copy2(log, log.with_name("stdout.1"))
    os.truncate(log, 0)


def recreate(log: Path) -> None:
    """Delete the file and make another."""
    log.unlink()
    log.touch()


def rename_and_compress(log: Path) -> None:
    """As logrotate's compress does."""
    rename(log)
    rotated = log.with_name("stdout.1")
    data = rotated.read_bytes()
    log.with_name("stdout.1.gz").write_bytes(gzip.compress(data))
    rotated.unlink()


def copy_truncate_and_compress(log: Path) -> None:
    """As logrotate's copytruncate and compress do."""
    data = log.read_bytes()
    log.with_name("stdout.1.gz").write_bytes(gzip.compress(data))
    os.truncate(log, 0)


def copy_over(log: Path) -> None:
    """As copytruncate does that keeps one copy: it is written over, piece by piece."""
    data = log.read_bytes()
    with log.with_name("stdout.1").open("wb", buffering=0) as copy:
        for at in range(0, len(data), 7):
            copy.write(data[at : at + 7])
            time.sleep(0.002)
    os.truncate(log, 0)


def rename_by_date(log: Path) -> None:
    """As the kubelet does."""
    log.rename(log.with_name("stdout.20261122-101500"))
    log.touch()


def rename_oddly(log: Path) -> None:
    """To a name that says nothing."""
    log.rename(log.with_name("yesterday"))
    log.touch()


def copy_only(log: Path) -> None:
    """As logrotate's copy does: the log goes on."""
    shutil.copy2(log, log.with_name("stdout.1"))


ALL = (rename, copy_truncate, copy_over, rename_and_compress, copy_truncate_and_compress, rename_by_date, rename_oddly, copy_only)  # fmt: skip


@pytest.mark.parametrize("rotate", [*ALL, recreate])
def test_rotation_while_it_is_followed(ship: Ship, rotate: Callable[[Path], None]) -> None:
    """What was read is not read again from a copy; the new file is read from its start, with the same banner."""
    ship.add(BANNER.strip(), *lines(0, 30))
    ship.start()
    before = ship.arrives(BANNER.strip(), *lines(0, 30))
    rotate(ship.log)
    banner = [] if rotate is copy_only else [BANNER.strip()]
    ship.add(*banner, *lines(100, 200))

    assert before
    assert ship.arrives(BANNER.strip(), *banner, *lines(0, 30), *lines(100, 200))
    assert ship.sink.repeats == 0


@pytest.mark.parametrize("rotate", ALL)
def test_rotation_while_not_running(ship: Ship, rotate: Callable[[Path], None]) -> None:
    """What was written before the rotation and not read is found in the renamed, copied or compressed file."""
    ship.add(BANNER.strip(), *lines(0, 30))
    ship.start()
    before = ship.arrives(BANNER.strip(), *lines(0, 30))
    ship.stop()
    ship.add(*lines(30, 60))
    rotate(ship.log)
    banner = [] if rotate is copy_only else [BANNER.strip()]
    ship.add(*banner, *lines(100, 300))
    ship.start()

    assert before
    assert ship.arrives(BANNER.strip(), *banner, *lines(0, 60), *lines(100, 300))
    assert ship.sink.repeats == 0


@pytest.mark.parametrize("rotate", ALL)
def test_rotation_while_the_sink_is_down(ship: Ship, rotate: Callable[[Path], None]) -> None:
    """The files are the buffer: what was not even read when they were rotated arrives once the sink is back."""
    ship.start()
    ship.add(BANNER.strip(), *lines(0, 30))
    before = ship.arrives(BANNER.strip(), *lines(0, 30))
    ship.sink.failing = DeliveryError("down", retryable=True)
    ship.add(*lines(30, 60))
    until(lambda: False, 0.2)
    rotate(ship.log)
    ship.add(*lines(100, 140))
    until(lambda: False, 0.2)
    ship.sink.failing = None

    assert before
    assert ship.arrives(BANNER.strip(), *lines(0, 60), *lines(100, 140))


def test_truncated_and_grown_beyond_unseen(ship: Ship) -> None:
    """A file that was longer again when it was looked at next is known by its bytes, not by its size."""
    ship.add(BANNER.strip(), *lines(0, 5))
    ship.start()
    before = ship.arrives(BANNER.strip(), *lines(0, 5))
    with ship.log.open("r+") as live:  # no moment between in which it is shorter
        live.write(BANNER + "".join(f"{text}\n" for text in lines(1000, 1100)))

    assert before
    assert ship.arrives(BANNER.strip(), BANNER.strip(), *lines(0, 5), *lines(1000, 1100))
    assert ship.count("truncated_files") == 1


def test_truncated_and_grown_while_not_running(ship: Ship) -> None:
    """The same between two lives, and it is counted."""
    ship.add(BANNER.strip(), *lines(0, 5))
    ship.start()
    before = ship.arrives(BANNER.strip(), *lines(0, 5))
    ship.stop()
    os.truncate(ship.log, 0)
    ship.add(BANNER.strip(), *lines(1000, 1100))
    ship.start()

    assert before
    assert ship.arrives(BANNER.strip(), BANNER.strip(), *lines(0, 5), *lines(1000, 1100))
    assert ship.count("truncated_files") == 1


def test_rewritten_in_place_with_the_same_size(ship: Ship) -> None:
    """Not even the size tells, but the time of the change does."""
    ship.add("one 1")
    ship.start()
    before = ship.arrives("one 1")
    until(lambda: False, 0.05)
    with ship.log.open("r+") as live:
        live.write("two 2\n")

    assert before
    assert ship.arrives("one 1", "two 2")


def test_what_truncation_destroyed_is_counted(ship: Ship, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that were seen, not read, and are in no copy: abandoned, and said so."""
    monkeypatch.setattr("logship.source.rotation.COPY_SECONDS", 0.2)
    ship.start()
    ship.add("read")
    before = ship.arrives("read")
    with ship.log.open("a") as live:
        live.write("half a line of 26 letters.")
    until(lambda: False, 0.3)
    os.truncate(ship.log, 0)
    ship.add("after")
    arrived = ship.arrives("read", "after")

    assert before
    assert arrived
    assert until(lambda: ship.count("abandoned_bytes") == 26)
    assert ship.count("truncated_files") == 1


def test_compressed_history_is_left_alone(ship: Ship) -> None:
    """A ``.gz`` from before a log was first seen is not shipped; the rotated files beside it are."""
    ship.log.parent.joinpath("stdout.2.gz").write_bytes(gzip.compress(b"long ago\n"))
    os.utime(ship.log.parent / "stdout.2.gz", (1_700_000_000, 1_700_000_000))
    (ship.log.parent / "stdout.1").write_text("before\n")
    ship.add("now")
    ship.start()

    assert ship.arrives("before", "now")


def test_several_files_compressed_while_not_running(ship: Ship) -> None:
    """All begin with the same banner, and of one no more than that was read: each line comes once."""
    ship.add(BANNER.strip())
    ship.start()
    before = ship.arrives(BANNER.strip())
    ship.stop()
    ship.add(*lines(0, 5))
    written = [BANNER.strip(), *lines(0, 5)]
    for number in range(1, 5):
        for older in range(5, 0, -1):
            path = ship.log.with_name(f"stdout.{older}.gz")
            if path.exists():
                path.rename(path.with_name(f"stdout.{older + 1}.gz"))
        rename_and_compress(ship.log)
        texts = [BANNER.strip(), *lines(number * 10, number * 10 + 5)]
        ship.add(*texts)
        written += texts
    ship.start()

    assert before
    assert ship.arrives(*written), ship.diff(written)
    numbered = [text for text in written if text != BANNER.strip()]
    assert [text for text in ship.sink.texts if text != BANNER.strip()] == numbered
    assert ship.sink.repeats == 0


def test_gz_that_nobody_could_look_at_is_shipped(ship: Ship) -> None:
    """A file that came, went and was compressed while a life had begun that ended too early to note it."""
    ship.add("first")
    ship.start()
    assert ship.arrives("first")
    ship.stop()
    ship.log.with_name("stdout.1.gz").write_bytes(gzip.compress(b"between\n"))
    os.utime(ship.log.with_name("stdout.1.gz"), (time.time() - 10, time.time() - 10))

    ship.start()

    assert ship.arrives("first", "between")


@pytest.mark.parametrize("end", [b"", bytes(300)], ids=["cut", "zeros"])
def test_a_damaged_gz_gives_what_it_has(ship: Ship, end: bytes) -> None:
    """What can be read of it is read, and what follows is not held up."""
    ship.add(*lines(0, 10))
    ship.start()
    before = ship.arrives(*lines(0, 10))
    ship.stop()
    written = {os.urandom(20).hex() for _ in range(500)}
    ship.add(*written)
    data = gzip.compress(ship.log.read_bytes())
    ship.log.with_name("stdout.1.gz").write_bytes(data[:-300] + end)
    ship.log.unlink()
    ship.add("after")
    ship.start()

    assert before
    assert until(lambda: "after" in ship.sink.texts)
    assert 300 < len(written & set(ship.sink.texts)) < 500
    assert ship.sink.repeats == 0


def test_a_long_gz_is_read_in_pieces(ship: Ship) -> None:
    """One of 30 MB goes on where its file was, with the memory of a few windows."""
    ship.add(*(f"{n:0100d}" for n in range(10)))
    ship.start()
    before = until(lambda: len(ship.sink.texts) == 10)
    ship.stop()
    ship.add(*(f"{n:0100d}" for n in range(10, 300_000)))
    rename_and_compress(ship.log)
    ship.start()

    assert before
    assert until(lambda: len(ship.sink.texts) == 300_000, 30)
    assert ship.sink.texts == [f"{n:0100d}" for n in range(300_000)]
    assert ship.sink.repeats == 0


def test_what_has_the_name_of_a_log_and_is_none(ship: Ship) -> None:
    """Pipes and folders among rotated files are passed over; a pipe in the log's place is said."""
    os.mkfifo(ship.log.parent / "stdout.1")
    (ship.log.parent / "stdout.2").mkdir()
    os.mkfifo(ship.log.parent / "stderr")
    ship.add("line")
    ship.start()

    assert ship.arrives("line")
    assert ship._ship is not None
    assert any("stderr: is no regular file" in said for said in ship._ship.status().problems)
    with pytest.raises(OSError, match="No such device or address"):  # nobody reads from it
        os.open(ship.log.parent / "stderr", os.O_WRONLY | os.O_NONBLOCK)


@pytest.mark.parametrize("how", [rename, copy_truncate, copy_over, recreate])
def test_a_storm(ship: Ship, how: Callable[[Path], None]) -> None:
    """Rotated every 30 ms with a banner each time, and restarted in between: each line once.

    Only where files are deleted or written over the writer waits until they were read.
    """
    written: list[str] = []

    def write() -> None:
        for number in range(40):
            with ship.log.open("a") as live:
                live.write(BANNER + f"first {number}\nsecond {number}\n")
            written.extend((BANNER.strip(), f"first {number}", f"second {number}"))
            if how in (
                recreate,
                copy_over,
            ):  # what is destroyed before it could be read is another matter
                until(partial(ship.has, f"second {number}"), 60)
            time.sleep(0.03)
            for older in range(50, 0, -1) if how is not copy_over else ():
                path = ship.log.with_name(f"stdout.{older}")
                if path.exists():
                    path.rename(path.with_name(f"stdout.{older + 1}"))
            how(ship.log)

    ship.start()
    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        writer.join(0.6)
        ship.stop()
        ship.start()

    assert ship.arrives(*written), ship.diff(written)
    assert ship.sink.repeats == 0


def test_new_files_wait_for_a_checkpoint_that_cannot_be_written(
    ship: Ship, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Truncated while the disk is full, twice, and killed: no id is given to two lines, and none is lost that was there."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    long = "a" * 5000  # what is read of a young file must be in its mark, too
    ship.add(long, "a2")
    ship.start()
    assert ship.arrives(long, "a2")
    monkeypatch.setattr(CheckpointFile, "save", refuse)
    monkeypatch.setattr(CheckpointFile, "rewrite", refuse)
    ship.add("a3")
    assert until(lambda: ship.has("a3"))  # of a file that it knows
    os.truncate(ship.log, 0)
    ship.add("b1", "b2")
    assert not until(lambda: ship.has("b1"), 1.0)
    os.truncate(ship.log, 0)
    ship.add("c1")
    assert not until(lambda: ship.has("c1"), 1.0)
    ship.stop()  # it cannot say how far it got
    monkeypatch.undo()
    ship.start()
    ship.add("c2")

    assert ship.arrives(long, "a2", "a3", "c1", "c2")


def test_what_waited_for_the_checkpoint_goes_on(
    ship: Ship, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as there is room on the disk again, without a restart."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(CheckpointFile, "save", refuse)
        full.setattr(CheckpointFile, "rewrite", refuse)
        ship.add("one")
        ship.start()
        assert not until(lambda: ship.has("one"), 1.0)

    assert ship.arrives("one")
