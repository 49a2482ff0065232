"""What happened to tasks, as log records of theirs: health changed, ended with exit code 1, killed for want of memory.

An append-only spool of JSON lines, rotated by size, that the shipper tails like any other log;
the records get the data stream ``task.event``. So an event survives ``kill -9`` as soon as
``append`` has returned, and stands among the task's own lines.
"""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import orjson
from msgspec.structs import asdict, replace

from logship.identities import identity_of
from logship.parse.batch import Origin, Tally, build
from logship.parse.columns import Columns
from logship.parse.join import Records
from logship.parse.lines import Lines, plain
from logship.parse.parser import Parsed
from logship.redact import Redactor
from model.clock import Clock
from model.log import Level
from model.task import TaskIdentity
from storage.files import rotate

DATASET: Final = "task.event"
NAME: Final = "events"
KEY: Final = "taskscope/events"
FILE_BYTES_MAX: Final = 4 << 20
KEPT_FILES: Final = 3


class EventLog:
    """Appends events; any thread may."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / NAME
        self._clock = clock
        self._lock = threading.Lock()

    def append(
        self, identity: TaskIdentity, level: Level, message: str, fields: Mapping[str, Any]
    ) -> None:
        """Write one event of a task; it survives ``kill -9`` when this returns.

        Raises:
            OSError: If the spool cannot be written.
        """
        line = orjson.dumps(
            {
                "ts_ns": self._clock.now_ns(),
                "level": int(level),
                "message": message,
                "fields": fields,
                "identity": asdict(identity),
            },
            default=str,
            option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS,
        )
        with self._lock:
            rotate(self.path, KEPT_FILES, at_bytes=FILE_BYTES_MAX)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                if _torn(self.path):
                    line = b"\n" + line
                os.write(descriptor, line)
            finally:
                os.close(descriptor)


def _torn(path: Path) -> bool:
    """Tell whether the last line has no newline, because a full disk or a crash cut it."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if not size:
            return False
        file.seek(size - 1)
        return file.read(1) != b"\n"


class _Event(msgspec.Struct):
    ts_ns: int
    level: int
    message: str
    fields: msgspec.Raw
    identity: dict[str, str]


_EVENT: Final = msgspec.json.Decoder(_Event)


class EventParser:
    """Parses the spool; like ``Parser``, but each line says itself whose it is."""

    def __init__(self, redactor: Redactor | None) -> None:
        self._redactor = redactor

    def parse(self, data: bytes, start: int, origin: Origin, read_ns: int, *, closing: bool, final: bool = False) -> Parsed:  # fmt: skip
        """See ``Parser.parse``."""
        if not data:
            return Parsed([], start, Tally())
        return self.lines(plain(data, start), origin, read_ns, closing=closing, final=final)

    def lines(self, lines: Lines, origin: Origin, read_ns: int, *, closing: bool, final: bool = False) -> Parsed:  # fmt: skip
        """See ``Parser.lines``."""
        columns, owners, starts, times = Columns.empty(0), [], [], []
        for text, offset in zip(lines.texts, lines.starts[:-1], strict=True):
            try:
                event = _EVENT.decode(text)
                owner = identity_of(event.identity)
            except (msgspec.MsgspecError, TypeError, UnicodeError):
                continue  # a torn line: the crash that tore it is what lost it
            columns.message.append(event.message.encode())
            columns.fields.append(b"" if bytes(event.fields) in (b"{}", b"null") else bytes(event.fields))  # fmt: skip
            times.append(event.ts_ns)
            columns.levels.append(min(max(event.level, 0), int(Level.FATAL)))
            owners.append(owner)
            starts.append(offset)
        columns.times = times
        end = lines.starts[-1]
        records = Records([""] * len(starts), starts, [], lambda: None, {}, {}, end)
        if not starts:
            return Parsed([], end, Tally())
        batches, tally = build(records, columns, origin, self._redactor, read_ns)
        whole = batches[0]
        parts = []
        for owner in dict.fromkeys(owners):
            rows = np.flatnonzero([o == owner for o in owners])
            source = (
                f"{whole.source_id}/{owner.task_id}"  # see parse.batch: a source holds its range
            )
            parts.append(replace(whole.take(rows), identity=owner, source_id=source))
        return Parsed(parts, end, tally)
