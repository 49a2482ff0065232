"""Records that a sink will never take: JSON lines with the reason, for people to look at and replay."""

import fcntl
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from logship import ecs
from model.errors import OperatorError
from model.log import LogBatch
from storage.files import rotate, sync_path

FILE_BYTES_MAX: Final = 32 << 20
KEPT_FILES: Final = 3
REPLAYING: Final = ".replaying"


class DeadLetters:
    """Appends to ``dead-letters-<sink>.jsonl`` in a directory; rotates by size, oldest dropped and counted.

    Each line: ``at_ns, sink, reason, attempts, dataset, source_id, id, line, document``: the line
    as it was read but for secrets, and the whole record. Writers and replay, which may be another
    process, exclude each other by a lock file.
    """

    def __init__(self, directory: Path, sink: str) -> None:
        self.path = directory / f"dead-letters-{sink}.jsonl"
        self.sink = sink
        self._lock_path = directory / f"dead-letters-{sink}.lock"
        self._lock = threading.Lock()

    def put(self, batch: LogBatch, reasons: Mapping[int, str], *, attempts: int, at_ns: int) -> int:
        """Write all records of a batch; they are on the disk when this returns.

        Returns:
            How many older ones were dropped to make room.

        Raises:
            OSError: If the file cannot be written.
        """
        entries = []
        for row, document in enumerate(ecs.documents(batch)):
            entry = {
                "at_ns": at_ns,
                "sink": self.sink,
                "reason": reasons.get(row, ""),
                "attempts": attempts,
                "dataset": batch.dataset,
                "source_id": batch.source_id,
                "id": ecs.document_id(batch.source_id, int(batch.offsets[row])),
                "line": _line(batch, row),
                "document": orjson.Fragment(document),
            }
            entries.append(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
        return self.append(b"".join(entries))

    def append(self, data: bytes) -> int:
        """Write whole lines as they are; see ``put``."""
        if not data:
            return 0
        with self._locked():
            lost = self._make_room()
            fresh = not self.path.exists()
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                size = os.fstat(descriptor).st_size
                if size and os.pread(descriptor, 1, size - 1) != b"\n":
                    data = b"\n" + data  # the line before was cut by a crash
                try:
                    _write(descriptor, data)
                except OSError:
                    os.ftruncate(descriptor, size)
                    raise
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if fresh:
                sync_path(self.path.parent)
        return lost

    def _make_room(self) -> int:
        if not self.path.exists() or self.path.stat().st_size < FILE_BYTES_MAX:
            return 0
        last = self.path.with_name(f"{self.path.name}.{KEPT_FILES}")
        lost = last.read_bytes().count(b"\n") if last.exists() else 0
        rotate(self.path, KEPT_FILES)
        return lost

    def files(self) -> list[Path]:
        """Return the files there are, oldest first; those that a replay has taken come before."""
        taken = self.path.parent.glob(f"{self.path.name}*{REPLAYING}")
        older = [self.path.with_name(f"{self.path.name}.{number}") for number in range(KEPT_FILES, 0, -1)]  # fmt: skip
        return [*sorted(taken), *(path for path in (*older, self.path) if path.exists())]

    def take(self) -> list[Path]:
        """Set the present files aside for a replay and return all that are; new letters go to a new file."""
        with self._locked():
            for path in self.files():
                if path.suffix != REPLAYING:
                    stamp = f"{path.stat().st_mtime_ns:020d}"
                    path.rename(path.with_name(f"{self.path.name}.{stamp}{REPLAYING}"))
            sync_path(self.path.parent)
            return self.files()

    @contextmanager
    def replaying(self) -> Iterator[list[Path]]:
        """Set the present files aside for a replay, as ``take``; only one at a time.

        Raises:
            OperatorError: If another one is at it.
        """
        path = self.path.with_name(f"dead-letters-{self.sink}.replay.lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield self.take()
        except BlockingIOError:
            raise OperatorError(f"the dead letters of {self.sink} are being replayed already") from None  # fmt: skip
        finally:
            os.close(descriptor)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)


def letters(path: Path) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
    """Yield a file's lines with what they hold, None for one that cannot be read (cut by a crash).

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        for line in file:
            if not line.strip():
                continue
            try:
                entry: Any = orjson.loads(line)
            except orjson.JSONDecodeError:
                entry = None
            good = isinstance(entry, dict) and isinstance(entry.get("document"), dict)
            yield line, entry if good else None


def _line(batch: LogBatch, row: int) -> str:
    """Return what stood in the log: the message, and after it the fields that were parsed out of it."""
    fields = batch.buf[batch.fields.starts[row] : batch.fields.ends[row]].decode("utf-8", "replace")
    return f"{batch.text(row)} {fields}" if fields else batch.text(row)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
