"""Decodes MessagePack whose texts are not all UTF-8, as programs write that log what they read.

Slower than msgspec, and only for what that refuses. Depth is limited; what is nested deeper is
refused.
"""

import struct
from typing import Any, Final

DEPTH_MAX: Final = 64
_NUMBERS: Final = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_SIMPLE: Final = {0xC0: None, 0xC2: False, 0xC3: True}
_TEXTS: Final = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_BINARY: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_ARRAYS: Final = {0xDC: 2, 0xDD: 4}
_MAPS: Final = {0xDE: 2, 0xDF: 4}
_EXT: Final = {0xC7: 1, 0xC8: 2, 0xC9: 4}
EVENT_TIME: Final = 0


class EventTime(int):
    """Nanoseconds since the epoch; fluentd's extension type 0."""


def event_time(code: int, data: bytes) -> Any:
    """Return the value of an extension type: a time, or the bytes of one that is not known."""
    if code == EVENT_TIME and len(data) == 8:
        seconds, nanos = struct.unpack(">II", data)
        return EventTime(seconds * 1_000_000_000 + nanos)
    return bytes(data)


class Decoder:
    """Decodes one value; for one use.

    Args:
        data: MessagePack.
        raw_depth: To which depth a text that is no UTF-8 is given as the bytes it is.
    """

    def __init__(self, data: bytes, raw_depth: int = 1) -> None:
        self._data = data
        self._raw_depth = raw_depth
        self._at = 0

    def decode(self) -> Any:
        """Return the value.

        Raises:
            ValueError: If it is none, or nested too deep.
        """
        try:
            return self._value(0)
        except (struct.error, IndexError, TypeError, OverflowError) as error:
            raise ValueError(f"not MessagePack: {error}") from error

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise ValueError("it is cut off")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def _size(self, width: int) -> int:
        return int.from_bytes(self._take(width), "big")

    def _value(self, depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise ValueError("it is nested too deep")
        byte = self._take(1)[0]
        if byte < 0x80:
            return byte
        if byte >= 0xE0:
            return byte - 0x100
        if byte < 0x90:
            return self._map(byte & 15, depth)
        if byte < 0xA0:
            return self._array(byte & 15, depth)
        if byte < 0xC0:
            return self._text(byte & 31, depth)
        if byte in _SIMPLE:
            return _SIMPLE[byte]
        if byte in _NUMBERS:
            form = _NUMBERS[byte]
            return struct.unpack(form, self._take(struct.calcsize(form)))[0]
        if byte in _TEXTS:
            return self._text(self._size(_TEXTS[byte]), depth)
        if byte in _BINARY:
            return self._take(self._size(_BINARY[byte]))
        if byte in _ARRAYS:
            return self._array(self._size(_ARRAYS[byte]), depth)
        if byte in _MAPS:
            return self._map(self._size(_MAPS[byte]), depth)
        if byte in _EXT or 0xD4 <= byte <= 0xD8:
            size = self._size(_EXT[byte]) if byte in _EXT else 1 << (byte - 0xD4)
            code = int.from_bytes(self._take(1), "big", signed=True)
            return event_time(code, self._take(size))
        raise ValueError(f"the byte {byte:#x} begins no value")

    def _text(self, size: int, depth: int) -> str | bytes:
        """Return a text; old clients write packed entries as one, beside the tag."""
        raw = self._take(size)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw if depth <= self._raw_depth else raw.decode("utf-8", "replace")

    def _array(self, size: int, depth: int) -> list[Any]:
        if size > len(self._data) - self._at:
            raise ValueError("it is cut off")
        return [self._value(depth + 1) for _ in range(size)]

    def _map(self, size: int, depth: int) -> dict[Any, Any]:
        if 2 * size > len(self._data) - self._at:
            raise ValueError("it is cut off")
        found = {}
        for _ in range(size):
            key = self._value(depth + 1)
            found[key if isinstance(key, str) else _name(key)] = self._value(depth + 1)
        return found


def _name(key: Any) -> str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
