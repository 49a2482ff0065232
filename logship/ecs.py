"""The one ECS document: what a log record looks like outside Taskscope.

Bytes are spliced: what all records of a batch share is made once, the message is escaped, the
record's own fields are put in as they stand. Names are dotted, as ECS loggers write them. Own
fields go into the flattened object ``fields``, so no application can break the mapping.
"""

from base64 import b32hexencode
from hashlib import blake2b

import numpy as np
import orjson

from model.identity import ecs_fields
from model.log import LEVEL_NAMES, Flag, LogBatch
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
_MARKS = [
    (f',"log.level":"{LEVEL_NAMES[level]}"'.encode() if level else b"")
    + (b',"log.flags":' + orjson.dumps([name for bit, name in FLAG_NAMES.items() if bits & bit]) if bits else b"")
    for bits in range(2 * max(FLAG_NAMES))
    for level in range(len(LEVEL_NAMES))
]  # fmt: skip


def source_key(source_id: str) -> str:
    """Return the part of document ids that stands for the source: 24 characters."""
    return b32hexencode(blake2b(source_id.encode(), digest_size=15).digest()).decode().lower()


def document_id(source_id: str, offset: int) -> str:
    """Return the id of the record at an offset of a source; the same after every restart."""
    return f"{source_key(source_id)}-{offset:x}"


def timestamps(ts_ns: Ints) -> list[bytes]:
    """Return ISO 8601 times with nanoseconds, in UTC."""
    seconds, nanos = np.divmod(ts_ns, 1_000_000_000)
    unique, index = np.unique(seconds, return_inverse=True)
    texts = [f"{text}.".encode() for text in np.datetime_as_string(unique.view("M8[s]"))]
    return list(map(b"%b%09dZ".__mod__, zip(map(texts.__getitem__, index.tolist()), nanos.tolist(), strict=True)))  # fmt: skip


def documents(batch: LogBatch) -> list[bytes]:
    """Return one JSON document per record."""
    return _splice(batch, b"")


def bulk(batch: LogBatch, index: str) -> list[bytes]:
    """Return per record its two lines of a ``_bulk`` body, each with its newline.

    Args:
        batch: The records.
        index: Data stream to create them in, "" where the request names it.
    """
    where = b'"_index":' + orjson.dumps(index) + b"," if index else b""
    key = source_key(batch.source_id).encode()
    return _splice(batch, b'{"create":{' + where + b'"_id":"' + key + b'-%x"}}\n')


def _splice(batch: LogBatch, action: bytes) -> list[bytes]:
    """Fill one template per record; the action's ``%x`` is the record's offset."""
    if not len(batch):
        return []
    messages, fields = _texts(batch)
    offsets = batch.offsets.tolist()
    codes = batch.levels + len(LEVEL_NAMES) * batch.flags.astype(np.int64)
    columns = [
        timestamps(batch.ts_ns),
        offsets,
        list(map(_MARKS.__getitem__, codes.tolist())),
        messages,
        [b',"fields":' + own if own else b"" for own in fields],
        _rest(batch),
    ]
    head, tail = _constants(batch)
    ending = b"}\n" if action else b"}"
    template = action + b'{"@timestamp":"%b"' + head + b',"log.offset":%d%b,"message":"%b"%b%b' + tail + ending  # fmt: skip
    if action:
        columns.insert(0, offsets)
    return list(map(template.__mod__, zip(*columns, strict=True)))


def _texts(batch: LogBatch) -> tuple[list[bytes], list[bytes]]:
    """Return each record's message, escaped as in JSON but without quotes, and its own fields."""
    buf = batch.buf
    parts = buf.split(b"\0")
    starts = batch.message.starts
    if len(parts) == 2 * len(batch) and starts[0] == 0 and batch.fields.ends[-1] == len(buf):
        raw, fields = parts[0::2], parts[1::2]  # the batch is all there is in the buffer
    else:
        raw = [buf[s:e] for s, e in zip(starts.tolist(), batch.message.ends.tolist(), strict=True)]
        spans = zip(batch.fields.starts.tolist(), batch.fields.ends.tolist(), strict=True)
        fields = [buf[s:e] for s, e in spans]
    try:
        texts = list(map(bytes.decode, raw))
    except UnicodeDecodeError:
        texts = [text.decode("utf-8", "replace") for text in raw]
    # a quote within a text is escaped, so "," can only stand between two of them
    return orjson.dumps(texts)[2:-2].split(b'","'), fields


def _rest(batch: LogBatch) -> list[bytes]:
    """Return what only some records have."""
    rest = [b""] * len(batch)
    for row, trace in batch.trace_ids.items():
        rest[row] = b',"trace.id":"' + trace.encode() + b'"'
    for row in np.flatnonzero(batch.original_bytes).tolist():
        rest[row] += b',"log.original_bytes":%d' % batch.original_bytes[row]
    return rest


def _constants(batch: LogBatch) -> tuple[bytes, bytes]:
    """Return what all records share, ready to stand in a template."""
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
    return b"," + orjson.dumps(pairs)[1:-1].replace(b"%", b"%%")
