"""The one ECS document: what a log record looks like outside Taskscope.

Bytes are spliced: what all records of a batch share is made once, the message is escaped, the
record's own fields are put in as they stand. Names are dotted, as ECS loggers write them. Own
fields go into the flattened object ``fields``, so no application can break the mapping.
"""

from base64 import b32hexencode
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
import orjson

from model.identity import ecs_fields
from model.log import LEVEL_NAMES, Flag, LogBatch

ECS_VERSION = "8.11.0"
# Flag -> what stands in log.flags (Filebeat's words where it has one)
FLAG_NAMES = {
    Flag.TRUNCATED: "truncated",
    Flag.UNPARSED: "unparsed",
    Flag.MULTILINE: "multiline",
    Flag.TIME_FROM_READER: "time_from_reader",
    Flag.REDACTED: "redacted",
}
_FLAGS = [
    b',"log.flags":' + orjson.dumps([name for bit, name in FLAG_NAMES.items() if bits & bit])
    if bits
    else b""
    for bits in range(2 * max(FLAG_NAMES))
]
_LEVELS = [f',"log.level":"{name}"'.encode() if name else b"" for name in LEVEL_NAMES]


def source_key(source_id: str) -> str:
    """Return the part of document ids that stands for the source: 24 characters."""
    return b32hexencode(blake2b(source_id.encode(), digest_size=15).digest()).decode().lower()


def document_id(source_id: str, offset: int) -> str:
    """Return the id of the record at an offset of a source; the same after every restart."""
    return f"{source_key(source_id)}-{offset:x}"


def timestamps(ts_ns: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> list[str]:
    """Return ISO 8601 times with nanoseconds, without the final Z."""
    return list(np.datetime_as_string(ts_ns.view("M8[ns]"), unit="ns"))


def documents(batch: LogBatch) -> list[bytes]:
    """Return one JSON document per record."""
    buf = batch.buf
    head, tail = _constants(batch)
    docs = []
    dumps = orjson.dumps
    columns = zip(
        timestamps(batch.ts_ns),
        batch.offsets.tolist(),
        batch.levels.tolist(),
        batch.flags.tolist(),
        batch.message.starts.tolist(),
        batch.message.ends.tolist(),
        batch.fields.starts.tolist(),
        batch.fields.ends.tolist(),
        strict=True,
    )
    for ts, offset, level, flags, start, end, fields_start, fields_end in columns:
        message = dumps(buf[start:end].decode("utf-8", "replace"))
        fields = buf[fields_start:fields_end]
        docs.append(
            b'{"@timestamp":"%bZ"%b,"log.offset":%d%b%b,"message":%b%b%b}'
            % (
                ts.encode(),
                head,
                offset,
                _LEVELS[level],
                _FLAGS[flags],
                message,
                b',"fields":' + fields if fields else b"",
                tail,
            )
        )
    for row, trace in batch.trace_ids.items():
        docs[row] = docs[row][:-1] + b',"trace.id":"' + trace.encode() + b'"}'
    for row in np.flatnonzero(batch.original_bytes).tolist():
        docs[row] = docs[row][:-1] + b',"log.original_bytes":%d}' % batch.original_bytes[row]
    return docs


def _constants(batch: LogBatch) -> tuple[bytes, bytes]:
    read = timestamps(np.array([batch.read_ns], dtype=np.int64))[0][:-6] + "Z"
    head = {"event.dataset": batch.dataset}
    tail: dict[str, object] = {**ecs_fields(batch.identity), **batch.tags}
    tail["taskscope.stream"] = batch.stream
    if batch.run:
        tail["taskscope.task.run"] = batch.run
    tail["event.created"] = read
    tail["ecs.version"] = ECS_VERSION
    return b"," + orjson.dumps(head)[1:-1], b"," + orjson.dumps(tail)[1:-1]


def actions(batch: LogBatch, index: str) -> Iterable[bytes]:
    """Return the ``create`` line of each record for ``_bulk``."""
    key = source_key(batch.source_id)
    prefix = b'{"create":{"_index":' + orjson.dumps(index) + b',"_id":"' + key.encode() + b"-"
    return [prefix + b'%x"}}' % offset for offset in batch.offsets.tolist()]
