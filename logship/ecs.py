"""The one ECS document: what a log record looks like outside Taskscope.

Bytes are spliced: what all records of a batch share is made once, the message is escaped, the
record's own fields are put in as they stand. Names are dotted, as ECS loggers write them. Own
fields go into the flattened object ``fields``, so no application can break the mapping.
"""

from base64 import b32hexencode
from collections.abc import Iterable
from hashlib import blake2b
from itertools import repeat

import numpy as np
import orjson

from model.identity import ecs_fields
from model.log import LEVEL_NAMES, Flag, LogBatch, Spans
from model.samples import Ints

ECS_VERSION = "8.11.0"
# Flag -> what stands in log.flags (Filebeat's words where it has one)
FLAG_NAMES = {
    Flag.TRUNCATED: "truncated",
    Flag.UNPARSED: "unparsed",
    Flag.MULTILINE: "multiline",
    Flag.TIME_FROM_READER: "time_from_reader",
    Flag.REDACTED: "redacted",
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
_DOT, _ZULU, _QUOTE, _BACKSLASH, _FIRST_PRINTED = b'.Z"\\ '


def source_key(source_id: str) -> str:
    """Return the part of document ids that stands for the source: 24 characters."""
    return b32hexencode(blake2b(source_id.encode(), digest_size=15).digest()).decode().lower()


def document_id(source_id: str, offset: int) -> str:
    """Return the id of the record at an offset of a source; the same after every restart."""
    return f"{source_key(source_id)}-{offset:x}"


def timestamps(ts_ns: Ints) -> list[bytes]:
    """Return ISO 8601 times with nanoseconds, in UTC."""
    seconds, nanos = np.divmod(ts_ns, 1_000_000_000)
    edges = np.flatnonzero(np.concatenate(([True], seconds[1:] != seconds[:-1])))
    texts = np.datetime_as_string(seconds[edges].view("M8[s]")).astype("S19")
    chars = np.empty((len(ts_ns), 30), dtype=np.uint8)
    chars[:, :20] = _DOT
    chars[:, :19] = np.repeat(
        texts.view(np.uint8).reshape(-1, 19), np.diff(edges, append=len(ts_ns)), axis=0
    )
    millis, rest = np.divmod(nanos, 1_000_000)
    micros, rest = np.divmod(rest, 1_000)
    for at, thousandth in ((20, millis), (23, micros), (26, rest)):
        chars[:, at : at + 3] = _THREE_DIGITS[thousandth]
    chars[:, 29] = _ZULU
    times: list[bytes] = chars.view("S30").ravel().tolist()
    return times


def _hexadecimal(offsets: Ints) -> list[bytes]:
    """Return ``%x`` of each offset; they rise, so mostly all have as many digits as the last."""
    width = len(f"{offsets[-1]:x}")
    if len(f"{offsets[0]:x}") != width:
        return list(map(b"%x".__mod__, offsets.tolist()))
    digits = np.frombuffer(offsets.astype(">u8").tobytes().hex().encode(), dtype=np.uint8)
    column = np.ascontiguousarray(digits.reshape(-1, 16)[:, 16 - width :])
    texts: list[bytes] = column.view(f"S{width}").ravel().tolist()
    return texts


def documents(batch: LogBatch) -> list[bytes]:
    """Return one JSON document per record."""
    return _splice(batch, [], b"{", b"}")


def bulk(batch: LogBatch, index: str) -> list[bytes]:
    """Return per record its two lines of a ``_bulk`` body, each with its newline.

    Args:
        batch: The records.
        index: Data stream to create them in, "" where the request names it.
    """
    if not len(batch):
        return []
    where = b'"_index":' + orjson.dumps(index) + b"," if index else b""
    action = b'{"create":{' + where + b'"_id":"' + source_key(batch.source_id).encode() + b"-"
    return _splice(batch, [repeat(action), _hexadecimal(batch.offsets)], b'"}}\n{', b"}\n")


def _splice(
    batch: LogBatch, before: list[Iterable[bytes]], opening: bytes, ending: bytes
) -> list[bytes]:
    """Join the pieces of each record, some its own, most the same for all; column by column, without a loop."""
    if not len(batch):
        return []
    head, tail = _constants(batch)
    codes = batch.levels + len(LEVEL_NAMES) * batch.flags.astype(np.int64)
    fields = _pieces(batch.buf, batch.fields)
    pieces = [
        *before,
        repeat(opening + b'"@timestamp":"'),
        timestamps(batch.ts_ns),
        repeat(b'"' + head + b',"log.offset":'),
        orjson.dumps(batch.offsets, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b","),
        map(_MARKS.__getitem__, codes.tolist()),
        _messages(batch),
        *([repeat(b'","fields":'), fields] if all(fields) else [[b'","fields":' + own if own else b'"' for own in fields]]),
        _rest(batch),
        repeat(tail + ending),
    ]  # fmt: skip
    return list(map(b"".join, zip(*pieces, strict=False)))


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
    if _plain(b"".join(raw)):
        return raw
    try:
        texts = list(map(bytes.decode, raw))
    except UnicodeDecodeError:
        texts = [text.decode("utf-8", "replace") for text in raw]
    # a quote within a text is escaped, so "," can only stand between two of them
    return orjson.dumps(texts)[2:-2].split(b'","')


def _plain(text: bytes) -> bool:
    """Tell whether JSON has nothing to escape in a text."""
    chars = np.frombuffer(text, dtype=np.uint8)
    special = (chars < _FIRST_PRINTED) | (chars == _QUOTE) | (chars == _BACKSLASH)
    return text.isascii() and not special.any()


def _rest(batch: LogBatch) -> Iterable[bytes]:
    """Return what only some records have."""
    traces = batch.trace_ids
    if not traces and not batch.original_bytes.any():
        return repeat(b"")
    rest = [b""] * len(batch)
    for row, trace in traces.items():
        rest[row] = b',"trace.id":"%b"' % trace.encode()
    for row in np.flatnonzero(batch.original_bytes).tolist():
        rest[row] += b',"log.original_bytes":%d' % batch.original_bytes[row]
    return rest


def _constants(batch: LogBatch) -> tuple[bytes, bytes]:
    """Return what all records share, for two places of the document."""
    head: dict[str, object] = {"event.dataset": batch.dataset}
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
