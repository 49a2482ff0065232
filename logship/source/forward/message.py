"""The four forms of a message: Message, Forward, PackedForward, CompressedPackedForward.

``[tag, time, record, option?]``, ``[tag, [[time, record], ...], option?]``, ``[tag, entries as
bytes, option?]`` and the same compressed. Entries may carry metadata beside their time, as newer
Fluent Bits write them. What cannot be understood of the entries is counted, and the others count.
"""

import struct
import zlib
from typing import Any, Final

import msgspec
import zstandard
from msgspec import Struct

from logship.source.forward.lenient import Decoder, EventTime, event_time
from logship.source.forward.scanner import BadMessageError, Scanner, count

UNPACKED_BYTES_MAX: Final = 16 << 20
_WINDOW_BYTES: Final = 8 << 20
_PART_BYTES: Final = 1 << 20
_VALUE: Final = msgspec.msgpack.Decoder(ext_hook=lambda code, data: event_time(code, bytes(data)))
_FAILURES: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
_ARRAY_32: Final = struct.Struct(">BI")
_SECONDS_MAX: Final = 9_200_000_000


class Message(Struct, frozen=True):
    """A message.

    Attributes:
        tag: Of all its entries.
        times: Nanoseconds since the epoch; -1 where an entry gave none.
        records: Usually maps of the application's own keys.
        chunk: What the sender wants to be acknowledged; "" for nothing.
        bad: Entries that could not be understood.
    """

    tag: str
    times: list[int]
    records: list[Any]
    chunk: str = ""
    bad: int = 0


def value_of(data: bytes) -> Any:
    """Return one MessagePack value.

    Raises:
        BadMessageError: If it is none.
    """
    try:
        return _VALUE.decode(data)
    except _FAILURES:
        pass
    try:
        return Decoder(data).decode()
    except ValueError as error:
        raise BadMessageError(str(error)) from error


def decode(data: bytes) -> Message | None:
    """Return a message; None for a heartbeat.

    Raises:
        BadMessageError: If it is none.
    """
    parts = value_of(data)
    if parts is None:
        return None
    if not isinstance(parts, list) or not 2 <= len(parts) <= 4:
        raise BadMessageError("a message is a list of a tag, entries and options")
    tag = _text(parts[0])
    entries = parts[1]
    if isinstance(entries, (bytes, str)):
        option = _option(parts, 2)
        packed = entries if isinstance(entries, bytes) else entries.encode()
        packed = _decompressed(packed, _text(option.get("compressed", "text")))
        pairs, bad = _pairs(packed, option.get("size"))
    elif isinstance(entries, list):
        option = _option(parts, 2)
        pairs, bad = entries, 0
    else:
        option = _option(parts, 3)
        pairs, bad = [[entries, parts[2]]] if len(parts) > 2 else [], int(len(parts) <= 2)
    good = [pair for pair in pairs if isinstance(pair, list) and len(pair) == 2]
    bad += len(pairs) - len(good)
    return Message(
        tag,
        [nanoseconds(pair[0]) for pair in good],
        [pair[1] for pair in good],
        _text(option.get("chunk", "")),
        bad,
    )


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _option(parts: list[Any], index: int) -> dict[str, Any]:
    option = parts[index] if len(parts) > index else None
    return option if isinstance(option, dict) else {}


def nanoseconds(time: Any) -> int:
    """Return a time in nanoseconds since the epoch; -1 if it is none."""
    if isinstance(time, EventTime):
        return int(time)
    if isinstance(time, list) and time:  # Fluent Bit: [time, metadata]
        return nanoseconds(time[0]) if not isinstance(time[0], list) else -1
    if isinstance(time, bool) or not isinstance(time, (int, float)):
        return -1
    return int(time * 1_000_000_000) if 0 <= time < _SECONDS_MAX else -1


def _pairs(packed: bytes, size: Any) -> tuple[list[Any], int]:
    """Return packed entries; in one go where the sender said how many they are."""
    said = size if type(size) is int and 0 < size <= len(packed) else 0
    if said:
        try:
            found = _VALUE.decode(_ARRAY_32.pack(0xDD, said) + packed)
        except _FAILURES:
            pass
        else:
            return (found, 0) if isinstance(found, list) else ([], 1)
    number, end = count(packed)
    bad = int(end < len(packed))
    data = _ARRAY_32.pack(0xDD, number) + packed[:end]
    try:
        found = value_of(data)
    except BadMessageError:
        return _one_by_one(packed[:end], bad)
    return found, bad


def _one_by_one(packed: bytes, bad: int) -> tuple[list[Any], int]:
    pairs, at, scanner = [], 0, Scanner(len(packed))
    while at < len(packed):
        end = scanner.find(packed, at)
        try:
            pairs.append(value_of(packed[at:end]))
        except BadMessageError:
            bad += 1
        at = end
    return pairs, bad


def _decompressed(data: bytes, how: str) -> bytes:
    """Unpack; several gzip members or zstd frames stand one behind the other where a sender joined chunks.

    Raises:
        BadMessageError: If it is not compressed as it says, or unpacks to too much.
    """
    if how in ("", "text"):
        return data
    if how not in ("gzip", "zstd"):
        raise BadMessageError(f"compression {how[:20]!r} is not known here; gzip and zstd are")
    parts, left = [], UNPACKED_BYTES_MAX
    try:
        while data:
            unpacker: Any = zlib.decompressobj(wbits=31) if how == "gzip" else _Zstd()
            part = unpacker.decompress(data, max(1, left))
            left -= len(part)
            if not unpacker.eof or left < 0:
                raise BadMessageError("compressed entries are cut off, or unpack to too much")
            parts.append(part)
            data = unpacker.unused_data
    except (zlib.error, zstandard.ZstdError) as error:
        raise BadMessageError(f"entries are not {how}: {error}") from error
    return b"".join(parts)


class _Zstd:
    """One zstd frame, with zlib's words."""

    eof = False
    unused_data = b""

    def decompress(self, data: bytes, limit: int) -> bytes:
        """Return a frame's content, or no more than its first part where that is longer than the limit."""
        context = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
        reader = context.stream_reader(data, read_across_frames=False)
        parts, size = [], 0
        while size <= limit and (part := reader.read(_PART_BYTES)):
            parts.append(part)
            size += len(part)
        if size <= limit:  # only now is it known to be harmless; this tells where the frame ends
            whole = context.decompressobj()
            whole.decompress(data)
            self.eof, self.unused_data = whole.eof, whole.unused_data
        return b"".join(parts)
