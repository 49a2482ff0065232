"""How a record stands in a segment, and how the next whole one is found behind a damaged one.

Little-endian: magic, uint32 length, uint64 position, uint32 CRC-32 of the payload, uint32 CRC-32 of
the 20 bytes before; then the payload. The header has a checksum of its own, so a damaged payload
costs one record; a damaged header costs what is before the next header that is right. A header
says where it stands, so that no payload that holds a frame can be taken for one.
"""

import struct
import zlib
from typing import Final

from msgspec import Struct

MAGIC: Final = b"TSr1"
HEADER_BYTES: Final = 24
RECORD_BYTES_MAX: Final = 96 << 20
_FIELDS: Final = struct.Struct("<4sIQI")
_CHECK: Final = struct.Struct("<I")


class Record(Struct, frozen=True):
    """A whole record: its payload, its position, and the position behind it."""

    payload: bytes
    start: int
    end: int


class Scan(Struct):
    """What some bytes hold.

    Attributes:
        records: Whole ones.
        end: Position behind the last thing that was understood or given up.
        damaged: Records (or stretches between two records) that were given up.
        wanted: Bytes from ``end`` on that it takes to go on; 0 where there is no need for more.
    """

    records: list[Record]
    end: int
    damaged: int = 0
    wanted: int = 0


def frame(payload: bytes, position: int) -> bytes:
    """Return a record as it stands at a position."""
    head = _FIELDS.pack(MAGIC, len(payload), position, zlib.crc32(payload))
    return head + _CHECK.pack(zlib.crc32(head)) + payload


def _header(data: bytes, at: int, position: int) -> tuple[int, int] | None:
    """Return length and checksum of the payload, or None if no header of this position is there."""
    magic, length, where, crc = _FIELDS.unpack_from(data, at)
    if magic != MAGIC or where != position or length > RECORD_BYTES_MAX:
        return None
    (check,) = _CHECK.unpack_from(data, at + _FIELDS.size)
    return (length, crc) if check == zlib.crc32(data[at : at + _FIELDS.size]) else None


def scan(data: bytes, position: int, *, last: bool) -> Scan:
    """Read the records of bytes that stand at a position.

    Args:
        data: The bytes.
        position: Of their first one.
        last: Whether nothing stands behind them: what is cut off there is given up.
    """
    found = Scan([], position)
    at, size = 0, len(data)
    while at < size:
        header = _header(data, at, position + at) if size - at >= HEADER_BYTES else None
        end = at + HEADER_BYTES + header[0] if header is not None else size
        if not last and (size - at < HEADER_BYTES or end > size):
            found.wanted = end - at if header is not None else HEADER_BYTES
            break
        if header is None or end > size:
            found.damaged += 1
            at = _next(data, at + 1, position, last=last)
        else:
            payload = data[at + HEADER_BYTES : end]
            if zlib.crc32(payload) == header[1]:
                found.records.append(Record(payload, position + at, position + end))
            else:
                found.damaged += 1
            at = end
        found.end = position + at
    return found


def _next(data: bytes, at: int, position: int, *, last: bool) -> int:
    """Return where the next header is, or where one may begin that is cut off at the end."""
    size = len(data)
    while True:
        at = data.find(MAGIC, at)
        if at < 0:
            return size if last else max(0, size - len(MAGIC) + 1)
        if size - at < HEADER_BYTES:
            return size if last else at
        if _header(data, at, position + at) is not None:
            return at
        at += 1
