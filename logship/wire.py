"""``LogBatch`` as bytes, for the way from agent to server: msgpack of columns, zstd around it."""

import re
from collections.abc import Sequence, Sized
from typing import Any, Final

import msgspec
import numpy as np
import zstandard
from msgspec.structs import asdict

from logship.identities import identity_of
from model.errors import DeliveryError
from model.log import Delivery, Flag, LogBatch, Spans
from storage.interface import LogStore

CONTENT_TYPE: Final = "application/vnd.taskscope.logs"
MAGIC: Final = b"TSL1"
BODY_BYTES_MAX: Final = 64 << 20  # unpacked
_LEVEL: Final = 1
_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}").fullmatch


class _Batch(msgspec.Struct, array_like=True):
    identity: dict[str, str]
    source_id: str
    stream: str
    run: int
    dataset: str
    buf: bytes
    message_starts: bytes
    message_ends: bytes
    fields_starts: bytes
    fields_ends: bytes
    ts_ns: bytes
    read_ns: int
    levels: bytes
    offsets: bytes
    flags: bytes
    end_offset: int
    original_bytes: bytes
    trace_ids: dict[int, str]
    tags: dict[str, str]
    numbers: dict[str, bytes] = {}


class _Delivery(msgspec.Struct, array_like=True):
    status: bytes
    reasons: dict[int, str]


_BATCHES: Final = msgspec.msgpack.Decoder(list[_Batch])
_DELIVERIES: Final = msgspec.msgpack.Decoder(list[_Delivery])


def encode(batches: Sequence[LogBatch]) -> bytes:
    """Return the body of one request."""
    packed = msgspec.msgpack.encode([_pack(batch) for batch in batches])
    return MAGIC + zstandard.ZstdCompressor(level=_LEVEL).compress(packed)


def decode(body: bytes) -> list[LogBatch]:
    """Return the batches of a request's body.

    Raises:
        ValueError: If it is no such body, or its columns do not fit each other.
    """
    if body[: len(MAGIC)] != MAGIC:
        raise ValueError("not a batch of logs in a format this server knows")
    try:
        packed = _unpack(body[len(MAGIC) :])
        return [_batch(wire) for wire in _BATCHES.decode(packed)]
    except (zstandard.ZstdError, msgspec.MsgspecError, TypeError) as error:
        raise ValueError(f"a batch of logs cannot be read: {error}") from error


def ingest(body: bytes, store: LogStore) -> bytes:
    """Put a request's batches into a store, durably, and return the answer's body.

    Raises:
        ValueError: If the body cannot be read (HTTP 400).
        DeliveryError: If the store took nothing (HTTP 503).
        StorageError: If the store could not write (HTTP 503).
    """
    taken = [store.append(batch) for batch in decode(body)]
    for _, ticket in taken:
        if not ticket.wait(30.0):
            raise DeliveryError("the log store did not answer in time", retryable=True)
    return encode_deliveries([delivery for delivery, _ in taken])


def encode_deliveries(deliveries: Sequence[Delivery]) -> bytes:
    """Return the body of an answer."""
    wire = [_Delivery(d.status.astype("<i2").tobytes(), d.reasons) for d in deliveries]
    return msgspec.msgpack.encode(wire)


def decode_deliveries(body: bytes) -> list[Delivery]:
    """Return what became of each batch.

    Raises:
        ValueError: If it is no such answer.
    """
    try:
        return [Delivery(np.frombuffer(d.status, dtype="<i2").astype(np.int16), d.reasons) for d in _DELIVERIES.decode(body)]  # fmt: skip
    except msgspec.MsgspecError as error:
        raise ValueError(f"the answer cannot be read: {error}") from error


def _ints(column: "np.ndarray[Any, np.dtype[np.int64]]") -> bytes:
    return column.astype("<i8").tobytes()


def _pack(batch: LogBatch) -> _Batch:
    return _Batch(
        asdict(batch.identity),
        batch.source_id,
        batch.stream,
        batch.run,
        batch.dataset,
        batch.buf,
        _ints(batch.message.starts),
        _ints(batch.message.ends),
        _ints(batch.fields.starts),
        _ints(batch.fields.ends),
        _ints(batch.ts_ns),
        batch.read_ns,
        batch.levels.tobytes(),
        _ints(batch.offsets),
        batch.flags.tobytes(),
        batch.end_offset,
        _ints(batch.original_bytes),
        batch.trace_ids,
        batch.tags,
        {name: values.astype("<f8").tobytes() for name, values in batch.numbers.items()},
    )


def _unpack(body: bytes) -> bytes:
    size = zstandard.frame_content_size(body)
    if size < 0 or size > BODY_BYTES_MAX:
        raise ValueError(f"a batch of logs says it is {size} bytes; the most is {BODY_BYTES_MAX}")
    return zstandard.ZstdDecompressor().decompress(body, max_output_size=BODY_BYTES_MAX)


def _batch(wire: _Batch) -> LogBatch:
    message = Spans(_column(wire.message_starts), _column(wire.message_ends))
    fields = Spans(_column(wire.fields_starts), _column(wire.fields_ends))
    batch = LogBatch(
        identity=identity_of(wire.identity),
        source_id=wire.source_id,
        stream=wire.stream,
        run=wire.run,
        dataset=wire.dataset,
        buf=wire.buf,
        message=message,
        fields=fields,
        ts_ns=_column(wire.ts_ns),
        read_ns=wire.read_ns,
        levels=np.frombuffer(wire.levels, dtype=np.uint8),
        offsets=_column(wire.offsets),
        flags=np.frombuffer(wire.flags, dtype=np.uint8),
        end_offset=wire.end_offset,
        original_bytes=_column(wire.original_bytes),
        trace_ids=wire.trace_ids,
        tags=wire.tags,
        numbers={name: np.frombuffer(v, dtype="<f8").astype(np.float64, copy=False) for name, v in wire.numbers.items()},
    )  # fmt: skip
    _check(batch)
    return batch


def _column(data: bytes) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    if len(data) % 8:
        raise ValueError("a column of a batch of logs is cut off")
    return np.frombuffer(data, dtype="<i8").astype(np.int64, copy=False)


def _check(batch: LogBatch) -> None:
    """Refuse what would make a reader look outside the buffer, or a document other than it says."""
    size = len(batch)
    columns: tuple[Sized, ...] = (
        batch.message.starts, batch.message.ends, batch.fields.starts, batch.fields.ends,
        batch.levels, batch.offsets, batch.flags, batch.original_bytes, *batch.numbers.values(),
    )  # fmt: skip
    if any(len(column) != size for column in columns):
        raise ValueError("the columns of a batch of logs differ in length")
    for spans in (batch.message, batch.fields):
        good = (spans.starts >= 0) & (spans.starts <= spans.ends) & (spans.ends <= len(batch.buf))
        if not good.all():
            raise ValueError("a batch of logs points outside its buffer")
    if size and int(batch.levels.max()) > 6:
        raise ValueError("a batch of logs has an unknown level")
    if size and int(batch.flags.max()) > sum(Flag):
        raise ValueError("a batch of logs has an unknown flag")
    if any(not 0 <= row < size for row in batch.trace_ids):
        raise ValueError("a batch of logs has a trace id of no record")
    if not all(map(_TRACE_ID, batch.trace_ids.values())):
        raise ValueError("a batch of logs has a trace id that is not 32 hex digits")
