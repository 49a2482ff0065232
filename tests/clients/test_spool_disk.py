"""The client's spool where the disk is too small, broken or not there: no error of the application, counted, said once."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.clients.harness import dead_port, files, logged, logger
from tests.logship.forward.receiving import receiving
from tests.logship.harness import until
from tests.logship.recording import RecordingSink


def test_what_is_over_the_limit_is_counted(tmp_path: Path) -> None:
    """The directory stays below it; what arrives and what was dropped is all there was, and that is said."""
    port, spool, sink = dead_port(), tmp_path / "kept", RecordingSink()
    how: dict[str, Any] = {"queue_records": 100, "spool": spool, "spool_bytes": 1 << 20}
    with logger("limit", f"tcp://127.0.0.1:{port}", **how) as (log, handler):
        for number in range(4000):
            log.info("%d %s", number, "x" * 500)
            if number % 40 == 39:
                time.sleep(0.005)
        lost = handler.dropped
        assert until(lambda: sum(path.stat().st_size for path in files(spool)) > 700_000)
        assert sum(path.stat().st_size for path in files(spool)) < (1 << 20) + 1000
        with receiving(tmp_path, sink=sink, port=port):
            assert until(lambda: handler.flush(0.1), 20)
            log.info("the end")
            assert handler.flush(10)
            assert until(lambda: any("the end" in text for text in sink.texts))
            assert until(lambda: any("dropped" in text for text in sink.texts))
        assert handler.dropped == lost > 0

    numbers = [int(text.split()[0]) for text in sink.texts if logged(text) and text != "the end"]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + lost == 4000
    assert sum(int(text.split()[0]) for text in sink.texts if "dropped" in text) == lost


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """Mount a tmpfs of 256 KiB."""
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "taskscope-logging", directory], check=True)  # fmt: skip
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


def fill(tmp_path: Path, spool: Path, mend: Callable[[], object]) -> tuple[RecordingSink, int]:
    """Log more than a disk takes while the agent is away, then let it come back; return what it got and what was dropped."""
    port, sink = dead_port(), RecordingSink()
    with logger("full", f"tcp://127.0.0.1:{port}", queue_records=200, spool=spool) as (log, handler):  # fmt: skip
        for number in range(2000):
            log.info("%d %s", number, "x" * 300)
            if number % 50 == 49:
                time.sleep(0.005)
        assert until(lambda: handler.errors > 0 and handler.dropped > 0)
        mend()
        with receiving(tmp_path, sink=sink, port=port):
            assert until(lambda: handler.flush(0.1), 20)
            log.info("9999 the end")
            assert handler.flush(10)
            assert until(lambda: "9999 the end" in sink.texts)
        dropped = handler.dropped
    numbers = [int(text.split()[0]) for text in sink.texts if logged(text)]
    assert numbers == sorted(set(numbers))
    assert len(numbers) - 1 + dropped == 2000
    assert len(numbers) > 400
    assert len([text for text in sink.texts if "the spool of log records" in text]) == 1
    return sink, dropped


@pytest.mark.root
def test_full_disk_is_counted_and_said_once(tmp_path: Path) -> None:
    """What it took is delivered, the rest waits in the queue as without a spool."""
    with small_disk(tmp_path / "disk") as disk:
        sink, dropped = fill(tmp_path, disk / "kept", lambda: None)
        assert files(disk / "kept") == []

    assert dropped > 0
    (said,) = (text for text in sink.texts if "the spool of log records" in text)
    assert "No space left on device" in said


def test_disk_that_fails_in_the_middle_of_a_record_is_counted_and_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Half of what was to be written is there; it is no record, and nothing comes twice for it."""
    real, calls = os.pwrite, [0]

    def broken(descriptor: int, data: bytes, offset: int) -> int:
        calls[0] += 1
        if len(data) < 100 or calls[0] < 12:
            return real(descriptor, data, offset)
        if calls[0] % 2:
            return real(descriptor, bytes(data)[: len(data) // 2], offset)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.pwrite", broken)
    sink, _ = fill(tmp_path, tmp_path / "kept", lambda: monkeypatch.setattr("os.pwrite", real))
    assert files(tmp_path / "kept") == []
    (said,) = (text for text in sink.texts if "the spool of log records" in text)
    assert "Input/output error" in said


def test_directory_that_cannot_be_used_is_said_once(tmp_path: Path) -> None:
    """Set-up and logging do not mind; records go as without it."""
    (tmp_path / "file").write_text("no directory")
    with receiving(tmp_path) as agent:
        with logger("unusable", f"tcp://127.0.0.1:{agent.server.port}", spool=tmp_path / "file" / "kept") as (log, handler):  # fmt: skip
            assert until(lambda: handler.errors > 0)
            for number in range(50):
                log.info("%d", number)
                assert handler.flush(10)
            assert handler.dropped == 0
        assert until(lambda: len(agent.sink.records) == 51)

    assert [text for text in agent.sink.texts if logged(text)] == [str(n) for n in range(50)]
    (said,) = (text for text in agent.sink.texts if not logged(text))
    assert "Not a directory" in said
