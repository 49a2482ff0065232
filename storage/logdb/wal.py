"""The log store's write-ahead log: what was acknowledged and is in no segment yet.

A file is a header (magic ``TSLOGWAL``, uint32 version, uint32 CRC-32 of both) and records: uint32
length, uint32 CRC-32, then that many bytes of zstd with one chunk, self-contained. A record is
written by one ``write`` before the append returns, so it survives ``kill -9``; ``sync`` makes it
survive a power loss. Behind a damaged record the next one is found by the magic of its zstd frame.
"""

import os
import struct
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import zstandard
from msgspec import Struct

from model.errors import StorageError
from model.log import LogBatch, Spans
from model.samples import Ints
from model.task import ContainerID, TaskID, TaskIdentity
from storage.files import sync_path
from storage.logdb.chunk import Chunk

MAGIC: Final = b"TSLOGWAL"
VERSION: Final = 1
_FILE_HEADER: Final = struct.Struct("<8sII")
_RECORD_HEADER: Final = struct.Struct("<II")
_MAX_RECORD: Final = 1 << 30
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_IDENTITY: Final = TaskIdentity.__struct_fields__


class WalWriter:
    """Appends chunks to one file; not thread-safe but for ``sync``."""

    def __init__(self, path: Path) -> None:
        """Create the file.

        Raises:
            OSError: If it cannot be made.
        """
        self.path = path
        self._compressor = zstandard.ZstdCompressor(level=-3)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            os.write(self._fd, _FILE_HEADER.pack(MAGIC, VERSION, _header_crc(VERSION)))
            os.fdatasync(self._fd)  # a file without a header is one that nothing was written to
            sync_path(path.parent)  # else a power loss could take the file with all its records
        except OSError:
            os.close(self._fd)
            path.unlink()
            raise
        self.size = _FILE_HEADER.size
        self.synced = self.size

    def write(self, chunk: Chunk) -> None:
        """Write one chunk; it survives the death of this process when this returns.

        Raises:
            OSError: If it could not be written whole; nothing of it is in the file then.
        """
        payload = self._compressor.compress(encode(chunk))
        record = _RECORD_HEADER.pack(len(payload), zlib.crc32(payload)) + payload
        view = memoryview(record)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            os.ftruncate(self._fd, self.size)
            raise
        self.size += len(record)

    def sync(self) -> None:
        """Bring everything written so far to the disk.

        Raises:
            OSError: If that failed; this file must not be written any more then.
        """
        size = self.size
        os.fdatasync(self._fd)
        self.synced = size

    @property
    def dirty(self) -> bool:
        """Whether something is written that is not synced."""
        return self.synced < self.size

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written yet."""
        return self.size == _FILE_HEADER.size

    def close(self) -> None:
        """Close the file; twice does no harm."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Replay(Struct, frozen=True):
    """What one file gave: its chunks, and how many bytes could not be read, and why."""

    chunks: list[Chunk]
    lost_bytes: int = 0
    reason: str = ""


def replay(path: Path) -> Replay:
    """Read all records of one file that are whole.

    Raises:
        StorageError: If the file has a format version that this program does not know.
    """
    data = path.read_bytes()
    chunks: list[Chunk] = []
    lost, reasons = 0, []
    pos = _FILE_HEADER.size
    if wrong := _wrong_header(path, data):
        lost, reasons = min(pos, len(data)), [wrong]
    while pos < len(data):
        chunk, behind, wrong = _record(data, pos)
        if chunk is not None:
            chunks.append(chunk)
        else:
            behind = behind or _next(data, pos + 1)
            lost += behind - pos
            reasons.append(wrong)
        pos = behind
    return Replay(chunks, lost, ", ".join(dict.fromkeys(reasons)))


def _wrong_header(path: Path, data: bytes) -> str:
    """Return what is wrong with the head of a file, "" if nothing is."""
    if not data:
        return ""  # made and no more, before the end came
    if len(data) < _FILE_HEADER.size:
        return "the file ends within its header"
    magic, version, crc = _FILE_HEADER.unpack_from(data)
    if magic == MAGIC and version == VERSION:
        return ""
    if magic == MAGIC and crc == _header_crc(version):
        raise StorageError(
            f"{path} has format version {version}; this Taskscope knows {VERSION}. "
            "Use the version that wrote it, or another data directory."
        )
    return "it does not begin as a write-ahead log does"


def _record(data: bytes, pos: int) -> tuple[Chunk | None, int, str]:
    """Return the record at a place and where it ends; None and 0 if it is none, None and its end if it says nothing."""
    start = pos + _RECORD_HEADER.size
    if start > len(data):
        return None, 0, "the last record is cut off"
    length, crc = _RECORD_HEADER.unpack_from(data, pos)
    payload = data[start : start + length] if length <= _MAX_RECORD else b""
    if len(payload) < length:
        return None, 0, "the last record is cut off"
    if zlib.crc32(payload) != crc:
        return None, 0, "a record has a wrong checksum"
    try:
        return decode(zstandard.ZstdDecompressor().decompress(payload)), start + length, ""
    except (zstandard.ZstdError, ValueError, KeyError, struct.error) as error:
        return None, start + length, f"a record cannot be decoded: {error}"


def _next(data: bytes, pos: int) -> int:
    """Return where the next whole record begins, the end if there is none: each payload begins with zstd's magic."""
    at = data.find(_ZSTD_MAGIC, pos + _RECORD_HEADER.size)
    while at >= 0:
        length, crc = _RECORD_HEADER.unpack_from(data, at - _RECORD_HEADER.size)
        payload = data[at : at + length] if length <= _MAX_RECORD else b""
        if payload and len(payload) == length and zlib.crc32(payload) == crc:
            return at - _RECORD_HEADER.size
        at = data.find(_ZSTD_MAGIC, at + 1)
    return len(data)


def _header_crc(version: int) -> int:
    return zlib.crc32(struct.pack("<8sI", MAGIC, version))


def encode(chunk: Chunk) -> bytes:
    """Return a chunk as bytes: uint32 header length, JSON header, columns, text."""
    batch = chunk.batch
    message_base, fields_base = batch.message.starts, batch.fields.starts
    has_fields = bool((batch.fields.ends > batch.fields.starts).any())
    has_original = bool(batch.original_bytes.any())
    header = orjson.dumps(
        {
            "seq": chunk.seq,
            "source": chunk.source,
            "taken_ns": chunk.taken_ns,
            "identity": [getattr(batch.identity, name) for name in _IDENTITY],
            "source_id": batch.source_id,
            "stream": batch.stream,
            "run": batch.run,
            "dataset": batch.dataset,
            "read_ns": batch.read_ns,
            "end_offset": batch.end_offset,
            "trace_ids": [[index, value] for index, value in batch.trace_ids.items()],
            "tags": batch.tags,
            "n": len(batch),
            "fields": has_fields,
            "original": has_original,
        }
    )
    parts = [struct.pack("<I", len(header)), header]
    columns = [_delta(batch.ts_ns), _delta(batch.offsets), _delta(message_base)]
    columns.append(batch.message.ends - message_base)
    if has_fields:
        columns += [_delta(fields_base), batch.fields.ends - fields_base]
    if has_original:
        columns.append(batch.original_bytes)
    parts += [column.astype("<i8", copy=False).tobytes() for column in columns]
    parts += [batch.levels.tobytes(), batch.flags.tobytes(), batch.buf]
    return b"".join(parts)


def decode(data: bytes) -> Chunk:
    """Return the chunk that ``encode`` made bytes of.

    Raises:
        ValueError, KeyError, struct.error: If the bytes are none.
    """
    (length,) = struct.unpack_from("<I", data)
    head = orjson.loads(data[4 : 4 + length])
    reader = _Reader(data, 4 + length, head["n"])
    ts_ns, offsets = reader.deltas(), reader.deltas()
    starts = reader.deltas()
    message = Spans(starts, starts + reader.ints())
    fields = Spans(np.zeros_like(starts), np.zeros_like(starts))
    if head["fields"]:
        starts = reader.deltas()
        fields = Spans(starts, starts + reader.ints())
    original = reader.ints() if head["original"] else np.zeros_like(starts)
    levels, flags = reader.codes(), reader.codes()
    batch = LogBatch(
        identity=_identity(head["identity"]),
        source_id=head["source_id"],
        stream=head["stream"],
        run=head["run"],
        dataset=head["dataset"],
        buf=data[reader.pos :],
        message=message,
        fields=fields,
        ts_ns=ts_ns,
        read_ns=head["read_ns"],
        levels=levels,
        offsets=offsets,
        flags=flags,
        end_offset=head["end_offset"],
        original_bytes=original,
        trace_ids=dict(head["trace_ids"]),
        tags=head["tags"],
    )
    return Chunk(head["seq"], head["source"], head["taken_ns"], batch)


class _Reader:
    def __init__(self, data: bytes, pos: int, count: int) -> None:
        self.data, self.pos, self.count = data, pos, count

    def ints(self) -> Ints:
        column = np.frombuffer(self.data, dtype="<i8", count=self.count, offset=self.pos)
        self.pos += column.nbytes
        return column

    def deltas(self) -> Ints:
        return np.cumsum(self.ints())

    def codes(self) -> "np.ndarray[Any, np.dtype[np.uint8]]":
        column = np.frombuffer(self.data, dtype=np.uint8, count=self.count, offset=self.pos)
        self.pos += column.nbytes
        return column


def _delta(column: Ints) -> Ints:
    if len(column) == 1:
        return column
    delta = np.empty_like(column)
    delta[0] = column[0]
    np.subtract(column[1:], column[:-1], out=delta[1:])
    return delta


def _identity(values: list[str]) -> TaskIdentity:
    named = dict(zip(_IDENTITY, values, strict=True))
    task_id, container_id = TaskID(named.pop("task_id")), ContainerID(named.pop("container_id"))
    return TaskIdentity(task_id=task_id, container_id=container_id, **named)
