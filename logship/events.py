"""What happened to tasks, as log records of theirs: health changed, ended with exit code 1, killed for want of memory.

They are kept in a spool that the shipper reads like any other log; the records get the data
stream ``task.event``. So an event survives as soon as ``append`` has returned, and stands among
the task's own lines.
"""

import itertools
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from logship.parse.batch import Origin, build
from logship.parse.columns import Columns
from logship.parse.join import Records
from logship.redact import Redactor
from logship.spool.entry import encode
from logship.spool.spool import Spool
from model.clock import Clock
from model.log import Level
from model.task import TaskIdentity

DATASET: Final = "task.event"
DISK_BYTES: Final = 16 << 20


class EventLog:
    """Appends events; any thread may.

    Attributes:
        spool: Where they wait for the sinks.
    """

    def __init__(self, directory: Path, clock: Clock, redactor: Redactor | None = None) -> None:
        self.spool = Spool(directory, disk_bytes=DISK_BYTES)
        self._clock = clock
        self._redactor = redactor
        self._source = f"event/{self.spool.session}"
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def append(
        self, identity: TaskIdentity, level: Level, message: str, fields: Mapping[str, Any]
    ) -> None:
        """Write one event of a task; it is on the disk when this returns.

        Raises:
            StorageError: If it cannot be written.
            TypeError: If a text is no Unicode.
        """
        try:
            position = self._append(identity, level, message, fields)
        except UnicodeEncodeError as error:
            raise TypeError(f"a text is no Unicode: {error}") from error
        self.spool.sync(position)

    def _append(
        self, identity: TaskIdentity, level: Level, message: str, fields: Mapping[str, Any]
    ) -> int:
        own = orjson.dumps(fields, default=str, option=orjson.OPT_NON_STR_KEYS) if fields else b""
        now = self._clock.now_ns()
        origin = Origin(identity, f"{self._source}/{identity.task_id}", "event", DATASET)
        columns = Columns([message.encode()], [own], [now], [level])
        with self._lock:  # the numbers of a source rise
            number = next(self._numbers)
            records = Records([""], [number], [], lambda _: None, {}, {}, number + 1)
            batches, _ = build(records, columns, origin, self._redactor, now)
            return self.spool.append(encode(batches))

    def close(self) -> None:
        """Let go of the spool; safe twice."""
        self.spool.close()
