"""The one ECS document: what a log record looks like outside Taskscope.

Bytes are spliced: what all records of a batch share is made once, the message is escaped, the
record's own fields are put in as they stand. Names are dotted, as ECS loggers write them. Own
fields go into the flattened object ``fields``, so no application can break the mapping.
"""

from base64 import b32hexencode
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import orjson
from msgspec.structs import replace

import model.source
from model.identity import ecs_fields
from model.log import LEVEL_NAMES, Flag, LogBatch, Spans
from model.samples import Ints

Chars = npt.NDArray[np.uint8]

NUMBERS = "numeric"  # fields that the configuration declares as numbers stand here too
ECS_VERSION = "8.11.0"
# Flag -> what stands in log.flags (Filebeat's words where it has one)
FLAG_NAMES = {
    Flag.TRUNCATED: "truncated",
    Flag.UNPARSED: "unparsed",
    Flag.MULTILINE: "multiline",
    Flag.TIME_FROM_READER: "time_from_reader",
    Flag.REDACTED: "redacted",
    Flag.TIME_FROM_RUNTIME: "time_from_runtime",
}
# what stands before a message, by level and flags
_MARKS = [
    (f',"log.level":"{LEVEL_NAMES[level]}"'.encode() if level else b"")
    + (b',"log.flags":' + orjson.dumps([name for bit, name in FLAG_NAMES.items() if bits & bit]) if bits else b"")
    + b',"message":"'
    for bits in range(2 * max(FLAG_NAMES))
    for level in range(len(LEVEL_NAMES))
]  # fmt: skip

_THREE_DIGITS = np.frombuffer(b"".join(b"%03d" % n for n in range(1000)), dtype=np.uint8).reshape(-1, 3)  # fmt: skip
_TRACE_CHARS = 32
_JOINED = 1024  # pieces at once: join keeps 80 bytes for each, which shall stay in the cache
_DOT, _ZULU, _QUOTE, _BACKSLASH, _FIRST_PRINTED = b'.Z"\\ '


def source_key(source_id: str) -> str:
    """Return the part of document ids that stands for the source: 24 characters."""
    return b32hexencode(blake2b(source_id.encode(), digest_size=15).digest()).decode().lower()


def document_id(source_id: str, offset: int) -> str:
    """Return the id of the record at an offset of a source; the same after every restart."""
    return f"{source_key(source_id)}-{offset:x}"


def timestamps(ts_ns: Ints) -> list[bytes]:
    """Return ISO 8601 times with nanoseconds, in UTC."""
    times: list[bytes] = _time_chars(ts_ns).view("S30").ravel().tolist()
    return times


def _time_chars(ts_ns: Ints) -> Chars:
    """Return ``timestamps`` as characters, shape (n, 30)."""
    seconds = ts_ns // 1_000_000_000
    nanos = (ts_ns - seconds * 1_000_000_000).astype(np.uint32)
    edges = np.flatnonzero(np.concatenate(([True], seconds[1:] != seconds[:-1])))
    texts = np.datetime_as_string(seconds[edges].view("M8[s]")).astype("S19")
    chars = np.empty((len(ts_ns), 30), dtype=np.uint8)
    chars[:, :20] = _DOT
    chars[:, :19] = np.repeat(
        texts.view(np.uint8).reshape(-1, 19), np.diff(edges, append=len(ts_ns)), axis=0
    )
    millis = nanos // 1_000_000
    micros = nanos // 1_000
    for at, thousandth in ((20, millis), (23, micros - millis * 1_000), (26, nanos - micros * 1_000)):  # fmt: skip
        chars[:, at : at + 3] = _THREE_DIGITS[thousandth]
    chars[:, 29] = _ZULU
    return chars


def _blocks(pieces: Sequence[bytes | Chars], size: int) -> list[bytes]:
    """Return for each of n rows its pieces, joined: bytes are for all rows, characters of shape (n, width) row by row.

    No row may end in NUL.
    """
    row = b"".join([piece if isinstance(piece, bytes) else bytes(piece.shape[1]) for piece in pieces])  # fmt: skip
    width = len(row)
    block = np.empty((size, width), dtype=np.uint8)
    block[:] = np.frombuffer(row, dtype=np.uint8)
    at = 0
    for piece in pieces:
        if isinstance(piece, bytes):
            at += len(piece)
        else:
            block[:, at : at + piece.shape[1]] = piece
            at += piece.shape[1]
    rows: list[bytes] = block.view(f"S{width}").ravel().tolist()
    return rows


def _heads(batch: LogBatch, action: bytes, opening: bytes, head: bytes) -> list[bytes]:
    """Return what stands before each record's level: it is as long for all whose offsets have as many digits."""
    offsets = batch.offsets
    times = _time_chars(batch.ts_ns)
    before, between = opening + b'"@timestamp":"', b'"' + head + b',"log.offset":'
    heads: list[bytes] = []
    first = 0
    while first < len(offsets):
        decimals, digits = len(str(offsets[first])), len(f"{offsets[first]:x}")
        same = (offsets[first:] < min(10**decimals, 16**digits)) & (offsets[first:] >= max(10 ** (decimals - 1), 16 ** (digits - 1)))  # fmt: skip
        count = len(same) if same.all() else max(1, int(same.argmin()))
        rows = slice(first, first + count)
        numbers = orjson.dumps(offsets[rows], option=orjson.OPT_SERIALIZE_NUMPY)
        decimal = np.frombuffer(numbers, dtype=np.uint8, offset=1).reshape(count, -1)[:, :-1]
        pieces: list[bytes | Chars] = [before, times[rows], between, decimal]
        if action:
            hexadecimal = np.frombuffer(offsets[rows].astype(">u8").tobytes().hex().encode(), dtype=np.uint8)  # fmt: skip
            pieces = [action, hexadecimal.reshape(count, 16)[:, 16 - digits :], *pieces]
        heads += _blocks(pieces, count)
        first += count
    return heads


def documents(batch: LogBatch) -> list[bytes]:
    """Return one JSON document per record."""
    return _splice(batch, b"", b"{", b"}\n").split(b"\n")[:-1]


def bulk(batch: LogBatch, index: str) -> bytes:
    """Return the ``_bulk`` body of the records: two lines each; ``records`` parts it.

    Args:
        batch: The records.
        index: Data stream to create them in, "" where the request names it.
    """
    where = b'"_index":' + orjson.dumps(index) + b"," if index else b""
    action = b'{"create":{' + where + b'"_id":"' + source_key(batch.source_id).encode() + b"-"
    return _splice(batch, action, b'"}}\n{', b"}\n")


def records(body: bytes) -> list[bytes]:
    """Return the two lines of each record of a ``_bulk`` body."""
    lines = body.split(b"\n")
    return [b"%b\n%b\n" % pair for pair in zip(lines[:-1:2], lines[1::2], strict=True)]


def _splice(batch: LogBatch, action: bytes, opening: bytes, ending: bytes) -> bytes:
    """Join the pieces of all records, some their own, most the same for all; column by column, without a loop.

    ``action`` is followed by the hexadecimal offset, unless it is empty.
    """
    size = len(batch)
    if not size:
        return b""
    head, tail = _constants(batch)
    codes = batch.levels + len(LEVEL_NAMES) * batch.flags.astype(np.int64)
    fields = _pieces(batch.buf, batch.fields)
    if b"\n" in batch.buf:  # between the values of an object that somebody wrapped by hand
        fields = [own.replace(b"\n", b" ") for own in fields]
    all_have = all(fields)
    columns: list[list[bytes]] = [
        _heads(batch, action, opening, head),
        list(map(_MARKS.__getitem__, codes.tolist())),
        _messages(batch),
        *([[b'","fields":'] * size, fields] if all_have else [[b'","fields":' + own if own else b'"' for own in fields]]),
        *_rest(batch),
        [tail + ending] * size,
    ]  # fmt: skip
    flat = [b""] * (len(columns) * size)
    for number, column in enumerate(columns):
        flat[number :: len(columns)] = column
    return b"".join([b"".join(flat[at : at + _JOINED]) for at in range(0, len(flat), _JOINED)])


def _pieces(buf: bytes, spans: Spans) -> list[bytes]:
    """Return the pieces; in one go if they stand one after another, parted by NUL, as they mostly do."""
    starts, ends = spans.starts, spans.ends
    if (starts[1:] == ends[:-1] + 1).all():
        pieces = buf[starts[0] : ends[-1]].split(b"\0")
        if len(pieces) == len(starts):
            return pieces
    return [buf[s:e] for s, e in zip(starts.tolist(), ends.tolist(), strict=True)]


def _messages(batch: LogBatch) -> list[bytes]:
    """Return each record's message, escaped as in JSON but without quotes."""
    raw = _pieces(batch.buf, batch.message)
    together = b"\0".join(raw)
    chars = np.frombuffer(together, dtype=np.uint8)
    if together.isascii() and np.count_nonzero(chars == 0) == len(raw) - 1:
        special = ((chars < _FIRST_PRINTED) & (chars != 0)) | (chars == _QUOTE) | (chars == _BACKSLASH)  # fmt: skip
        places = np.flatnonzero(special)
        if not len(places):
            return raw
        ends = np.cumsum(np.fromiter(map(len, raw), dtype=np.int64, count=len(raw)) + 1)
        rows = np.searchsorted(ends, places, side="right")
        rows = rows[np.flatnonzero(np.diff(rows, prepend=-1))]
        if len(rows) * 2 < len(raw):
            mended = _escaped([raw[row] for row in rows.tolist()])
            for row, text in zip(rows.tolist(), mended, strict=True):
                raw[row] = text
            return raw
    return _escaped(raw)


def _escaped(raw: list[bytes]) -> list[bytes]:
    try:
        texts = list(map(bytes.decode, raw))
    except UnicodeDecodeError:
        texts = [text.decode("utf-8", "replace") for text in raw]
    # a quote within a text is escaped, so "," can only stand between two of them
    return orjson.dumps(texts)[2:-2].split(b'","')


def _rest(batch: LogBatch) -> list[list[bytes]]:
    """Return what only some records have, as one more column or none."""
    traces, size = batch.trace_ids, len(batch)
    if batch.numbers:
        return [*_rest(replace(batch, numbers={})), _numbers(batch)]
    if not traces and not batch.original_bytes.any():
        return []
    if len(traces) == size and not batch.original_bytes.any():
        together = "".join(map(traces.__getitem__, range(size))).encode()
        if len(together) == _TRACE_CHARS * size:
            chars = np.frombuffer(together, dtype=np.uint8).reshape(size, _TRACE_CHARS)
            return [_blocks([b',"trace.id":"', chars, b'"'], size)]
    rest = [b""] * size
    for row, trace in traces.items():
        rest[row] = b',"trace.id":"%b"' % trace.encode()
    for row in np.flatnonzero(batch.original_bytes).tolist():
        rest[row] += b',"log.original_bytes":%d' % batch.original_bytes[row]
    return [rest]


def _numbers(batch: LogBatch) -> list[bytes]:
    """Return declared numbers, where an index can have a type for each."""
    column = [b""] * len(batch)
    for name, values in batch.numbers.items():
        key = b"," + orjson.dumps(f"{NUMBERS}.{name}") + b":"
        for row in np.flatnonzero(~np.isnan(values)).tolist():
            value = float(values[row])
            column[row] += key + orjson.dumps(int(value) if value.is_integer() else value)
    return column


def _constants(batch: LogBatch) -> tuple[bytes, bytes]:
    """Return what all records share, for two places of the document."""
    place = model.source.source_name(model.source.source_key(batch.source_id))
    head: dict[str, object] = {"event.dataset": batch.dataset, "taskscope.source": place}
    tail: dict[str, object] = {**ecs_fields(batch.identity), **batch.tags}
    tail["taskscope.stream"] = batch.stream
    if batch.run:
        tail["taskscope.task.run"] = batch.run
    (read,) = timestamps(np.array([batch.read_ns], dtype=np.int64))
    tail["event.created"] = read.decode()
    tail["ecs.version"] = ECS_VERSION
    return _spliced(head), _spliced(tail)


def _spliced(pairs: dict[str, object]) -> bytes:
    return b"," + orjson.dumps(pairs)[1:-1]
