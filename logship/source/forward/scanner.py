"""Finds where a MessagePack value ends as its bytes come in, looking at each header once.

Nothing is decoded. How many values are still to come is all it has to know, however deep they are
nested, so depth costs nothing here.
"""

from typing import Final

# size of what follows the first byte, where that says it: nil, booleans, numbers, fixext
_FIXED: Final = {
    0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8,
    0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17,
}  # fmt: skip
# width of a length that follows, and what stands between it and the bytes: bin, str, ext
_LENGTHS: Final = {
    0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1),
    0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0),
}  # fmt: skip
# width of a number of elements, and values per element: array, map
_COUNTS: Final = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


class BadMessageError(ValueError):
    """Bytes that are no message of the protocol, or one that is too long; the words are for people."""


class Scanner:
    """Finds the end of one value after another.

    Args:
        limit: Longest value, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left = 1  # values that are still to come
        self._at = 0  # where the next one starts

    @property
    def within(self) -> bool:
        """Whether a value has begun."""
        return self._at > 0

    def find(self, data: bytes | bytearray, start: int = 0) -> int:
        """Return where the value that starts at ``start`` ends, or -1 if it does not end here.

        Called again with more bytes behind the same start, it goes on where it was.

        Raises:
            BadMessageError: If it is none, or longer than the limit.
        """
        at, left = start + self._at, self._left
        size, limit = len(data), start + self._limit
        while left and at < size:
            byte = data[at]
            if byte < 0x80 or byte >= 0xE0:
                at += 1
            elif byte >= 0xA0 and byte < 0xC0:
                at += 1 + (byte & 31)
            elif byte < 0x90:
                left += 2 * (byte & 15)
                at += 1
            elif byte < 0xA0:
                left += byte & 15
                at += 1
            elif byte in _FIXED:
                at += 1 + _FIXED[byte]
            elif byte in _LENGTHS:
                width, more = _LENGTHS[byte]
                if at + 1 + width > size:
                    break
                at += 1 + width + more + int.from_bytes(data[at + 1 : at + 1 + width], "big")
            elif byte in _COUNTS:
                width, each = _COUNTS[byte]
                if at + 1 + width > size:
                    break
                left += each * int.from_bytes(data[at + 1 : at + 1 + width], "big")
                at += 1 + width
            else:
                raise BadMessageError(f"the byte {byte:#x} begins no MessagePack value")
            left -= 1
            if at + left > limit:  # each value takes a byte at least
                raise BadMessageError(f"a message is longer than {self._limit} bytes")
        if left or at > size:
            self._at, self._left = at - start, left
            return -1
        self._at, self._left = 0, 1
        return at


def count(data: bytes) -> tuple[int, int]:
    """Return how many whole values stand one behind the other, and where the last one ends."""
    scanner, number, at = Scanner(len(data)), 0, 0
    while at < len(data):
        try:
            end = scanner.find(data, at)
        except BadMessageError:
            break
        if end < 0:
            break
        number += 1
        at = end
    return number, at
