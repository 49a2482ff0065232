"""Log lines on their way: batches of bytes with columns beside them, never an object per line."""

from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field
from msgspec.structs import replace

from model.samples import Floats, Ints
from model.task import TaskIdentity

Codes8 = npt.NDArray[np.uint8]


class Level(IntEnum):
    """Normalised severity; the lower-case names are what ``log.level`` carries. ``NONE``: the line said nothing."""

    NONE = 0
    TRACE = 1
    DEBUG = 2
    INFO = 3
    WARN = 4
    ERROR = 5
    FATAL = 6


LEVEL_NAMES: Final = ("", "trace", "debug", "info", "warn", "error", "fatal")


class Spans(Struct, frozen=True):
    """n pieces of one buffer: piece i is ``buf[starts[i]:ends[i]]``; both int64, shape (n,)."""

    starts: Ints
    ends: Ints

    def take(self, rows: npt.NDArray[np.intp]) -> "Spans":
        """Return the pieces named, in that order."""
        return Spans(self.starts[rows], self.ends[rows])


class LogBatch(Struct, frozen=True):
    """Consecutive records of one stream of one task, redacted, ready for any sink.

    A record is a line, or a stack trace joined into one. Arrays have shape (n,).

    Attributes:
        identity: Whose lines these are.
        source_id: Identity of the file or stream: its container or run directory plus its
            content, never the task's name. Document ids are made of it and ``offsets``.
        stream: "stdout", "stderr" or a file's name.
        run: Number of the run that wrote them, 0 where unknown.
        dataset: ECS ``event.dataset`` (data stream ``logs-<dataset>-<namespace>``).
        buf: UTF-8 bytes that ``message`` and ``fields`` point into.
        message: Where each record's text is; without the final newline.
        fields: Where each record's own fields are: one JSON object (``{...}``) as bytes, or an
            empty span. They go into one flattened object, never to the top level.
        ts_ns: int64, time of the record by its own timestamp, else the runtime's, else as read.
        read_ns: When the agent read this batch, ns since the epoch.
        levels: uint8 codes of ``Level``.
        offsets: int64, where each record starts in its source; rising.
        flags: uint8, bits of ``Flag``.
        end_offset: Where the source goes on after this batch: the checkpoint once delivered.
        original_bytes: int64; each record's size before it was cut, 0 where it was not.
        trace_ids: W3C trace id as 32 hex digits for the few records that have one, by index.
        tags: Further ECS fields of all records of the batch, by dotted name.
        numbers: float64 values, shape (n,), of own fields that the configuration declares as
            numbers, by name; NaN where a record has none. They stand among ``fields`` too.
    """

    identity: TaskIdentity
    source_id: str
    stream: str
    run: int
    dataset: str
    buf: bytes
    message: Spans
    fields: Spans
    ts_ns: Ints
    read_ns: int
    levels: Codes8
    offsets: Ints
    flags: Codes8
    end_offset: int
    original_bytes: Ints
    trace_ids: dict[int, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.ts_ns)

    def text(self, index: int) -> str:
        """Return one record's message; for tests and single records only."""
        return self.buf[self.message.starts[index] : self.message.ends[index]].decode(
            "utf-8", "replace"
        )

    def take(self, rows: npt.NDArray[np.intp]) -> "LogBatch":
        """Return the records named, in that order, over the same buffer."""
        places = {old: new for new, old in enumerate(rows.tolist())} if self.trace_ids else {}
        return replace(
            self,
            message=self.message.take(rows),
            fields=self.fields.take(rows),
            ts_ns=self.ts_ns[rows],
            levels=self.levels[rows],
            offsets=self.offsets[rows],
            flags=self.flags[rows],
            original_bytes=self.original_bytes[rows],
            trace_ids={places[i]: v for i, v in self.trace_ids.items() if i in places},
            numbers={name: values[rows] for name, values in self.numbers.items()},
        )


class Flag(IntEnum):
    """Bits of ``LogBatch.flags``."""

    TRUNCATED = 1  # the record was cut at the size limit
    UNPARSED = 2  # it looked structured but could not be parsed; it stands whole in message
    MULTILINE = 4  # several lines joined
    TIME_FROM_READER = 8  # neither the line nor the runtime gave a usable time
    REDACTED = 16
    TIME_FROM_RUNTIME = 32  # the line gave no usable time, the runtime did


class Delivery(Struct, frozen=True):
    """What became of each record of one batch.

    Attributes:
        status: int16, shape (n,): 201 stored, 409 was there already, 400 never will be
            (goes to the dead-letter file); 429, 5xx and 403 (an index that is blocked, mostly
            for want of disk) try again.
        reasons: Reason by index, for those that were not stored.
    """

    status: npt.NDArray[np.int16]
    reasons: dict[int, str] = field(default_factory=dict)

    @property
    def retryable(self) -> npt.NDArray[np.intp]:
        """Indices of the records to send again."""
        return np.flatnonzero((self.status == 429) | (self.status >= 500) | (self.status == 403))
