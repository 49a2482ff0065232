"""From understood records to ``LogBatch``: spans over one buffer, secrets out, one batch per stream and run."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace

from logship.parse.columns import Columns
from logship.parse.fields import mend, numbers
from logship.parse.join import Records
from logship.parse.lines import LINE_BYTES_MAX
from logship.parse.timestamps import NO_TIME, usable
from logship.redact import Redactor
from model.log import Flag, LogBatch, Spans
from model.samples import Ints
from model.task import TaskIdentity


class Origin(Struct, frozen=True):
    """Whose records they are; ``run_starts_ns`` are the starts of the runs still known, rising."""

    identity: TaskIdentity
    source_id: str
    stream: str
    dataset: str
    run_starts_ns: tuple[int, ...] = ()
    run_numbers: tuple[int, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)


class Tally(Struct):
    """What parsing met; the shipper adds it to its counters."""

    bad_times: int = 0
    truncated: int = 0
    unparsed: int = 0
    redactions: dict[str, int] = field(default_factory=dict)


def build(
    records: Records,
    columns: Columns,
    origin: Origin,
    redactor: Redactor | None,
    read_ns: int,
    typed: Sequence[str] = (),
) -> tuple[list[LogBatch], Tally]:
    """Make batches of records; ``records`` and ``columns`` have the same n > 0 rows, ``typed`` are own fields that are numbers."""
    tally = Tally()
    size = len(columns.message)
    flags = np.zeros(size, dtype=np.uint8)
    for row, bits in records.flags.items():
        flags[row] = bits
    if columns.unparsed:
        flags[columns.unparsed] |= np.uint8(Flag.UNPARSED)
    original = np.zeros(size, dtype=np.int64)
    _cut(columns, records, flags, original)
    times = _times(records, columns, flags, read_ns, tally)
    buf, starts, ends = _buffer(columns)
    redacted = redactor.redact(buf) if redactor is not None else None
    if redacted is not None:
        flags[redacted.touched(starts, ends).reshape(2, size).any(axis=0)] |= np.uint8(
            Flag.REDACTED
        )
        harmed = size + np.flatnonzero(redacted.touched(starts[size:], ends[size:]))
        buf, starts, ends = redacted.buf, redacted.moved(starts), redacted.moved(ends)
        buf = mend(buf, starts, ends, harmed.tolist())
        tally.redactions = redacted.counts
    if flags.any():
        tally.truncated = int(np.count_nonzero(flags & np.uint8(Flag.TRUNCATED)))
        tally.unparsed = int(np.count_nonzero(flags & np.uint8(Flag.UNPARSED)))
    stream, run = _common(records, origin)
    whole = LogBatch(
        identity=origin.identity,
        source_id=f"{origin.source_id}/{stream}" if stream else origin.source_id,
        stream=stream or origin.stream,
        run=run or 0,
        dataset=origin.dataset,
        buf=buf,
        message=Spans(starts[:size], ends[:size]),
        fields=Spans(starts[size:], ends[size:]),
        ts_ns=times,
        read_ns=read_ns,
        levels=np.array(columns.levels, dtype=np.uint8),
        offsets=np.array(records.starts, dtype=np.int64),
        flags=flags,
        end_offset=records.end,
        original_bytes=original,
        trace_ids=columns.traces,
        tags=origin.tags,
        numbers=numbers(buf, starts[size:], ends[size:], typed) if typed else {},
    )
    if stream is not None and run is not None:
        return [whole], tally
    return _split(whole, records, origin, stream), tally


def _common(records: Records, origin: Origin) -> tuple[str | None, int | None]:
    """Return the stream of all records, "" where their source has but one, and their run, 0 if unknown; None where they differ."""
    streams = records.streams
    stream = None if streams and streams.count(streams[0]) != len(streams) else streams[0] if streams else ""  # fmt: skip
    runs = origin.run_numbers
    return stream, None if len(runs) > 1 else runs[0] if runs else 0


def _cut(columns: Columns, records: Records, flags: "np.ndarray[tuple[int], np.dtype[np.uint8]]", original: Ints) -> None:  # fmt: skip
    for row, size in records.sizes.items():
        flags[row] |= np.uint8(Flag.TRUNCATED)
        original[row] = size
    if max(map(len, columns.message)) <= LINE_BYTES_MAX:
        return
    for row, message in enumerate(columns.message):
        if len(message) > LINE_BYTES_MAX:
            flags[row] |= np.uint8(Flag.TRUNCATED)
            original[row] = max(int(original[row]), len(message))
            columns.message[row] = message[:LINE_BYTES_MAX].decode("utf-8", "ignore").encode()


def _times(records: Records, columns: Columns, flags: "np.ndarray[tuple[int], np.dtype[np.uint8]]", read_ns: int, tally: Tally) -> Ints:  # fmt: skip
    """Choose each record's time: its own, else the runtime's, else as read."""
    times = np.array(columns.times, dtype=np.int64)
    good = usable(times, read_ns)
    if good.all():
        return times
    tally.bad_times = int(np.count_nonzero(~good & (times != NO_TIME)))
    bad = np.flatnonzero(~good)
    given = records.runtime(bad)
    runtime = given if given is not None else np.full(len(bad), NO_TIME)
    fallback = ~usable(runtime, read_ns)
    flags[bad[fallback]] |= np.uint8(Flag.TIME_FROM_READER)
    flags[bad[~fallback]] |= np.uint8(Flag.TIME_FROM_RUNTIME)
    times[bad] = np.where(fallback, read_ns, runtime)
    return times


def _buffer(columns: Columns) -> tuple[bytes, Ints, Ints]:
    """Lay all n messages one after another, then all fields, parted by NUL: spans of row r are at r and n + r."""
    pieces = columns.message + columns.fields
    lengths = np.fromiter(map(len, pieces), dtype=np.int64, count=len(pieces))
    ends = np.cumsum(lengths + 1) - 1
    return b"\0".join(pieces), ends - lengths, ends


def _split(whole: LogBatch, records: Records, origin: Origin, stream: str | None) -> list[LogBatch]:
    """Part a batch by stream, unless all are of one, and by run.

    A store may take a batch for everything its source holds from the first record to
    ``end_offset``. So each stream of a wrapped file is a source of its own, and a run's batch ends
    where the next run starts.
    """
    runs = _runs(whole, records, origin)
    if stream is not None:
        return _by_run(whole, runs)
    names = np.array(records.streams)
    parts = []
    for name in dict.fromkeys(records.streams):
        rows = np.flatnonzero(names == name)
        parts += _by_run(_of_stream(whole.take(rows), name), runs[rows] if runs is not None else None)  # fmt: skip
    return parts


def _of_stream(batch: LogBatch, stream: str) -> LogBatch:
    return replace(batch, stream=stream, source_id=f"{batch.source_id}/{stream}")


def _runs(whole: LogBatch, records: Records, origin: Origin) -> Ints | None:
    """Return the run that wrote each record, rising, or None where nobody knows."""
    if not origin.run_numbers:
        return None
    if len(origin.run_numbers) == 1:
        return np.full(len(whole), origin.run_numbers[0], dtype=np.int64)
    given = records.runtime(np.arange(len(whole)))
    when = given if given is not None else whole.ts_ns
    index = np.searchsorted(np.array(origin.run_starts_ns), when, side="right") - 1
    numbers: Ints = np.array(origin.run_numbers, dtype=np.int64)[np.maximum(index, 0)]
    return np.maximum.accumulate(numbers)


def _by_run(batch: LogBatch, runs: Ints | None) -> list[LogBatch]:
    if runs is None:
        return [batch]
    if runs[0] == runs[-1]:
        return [replace(batch, run=int(runs[0]))]
    parts = []
    edges = [0, *(np.flatnonzero(np.diff(runs)) + 1).tolist(), len(runs)]
    for first, last in pairwise(edges):
        part = batch.take(np.arange(first, last))
        end = int(batch.offsets[last]) if last < len(runs) else batch.end_offset
        parts.append(replace(part, run=int(runs[first]), end_offset=end))
    return parts
