"""The fields of Histogram messages (prompb, and write/v2), of all messages of a request at once.

Messages as senders usually write them are walked together, see ``walk``; if there is any other among
them they are read one by one.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from model.samples import Bools, Floats, Ints
from storage.remote.walk import walk
from storage.remote.wire import WireError, read_delimited, read_varint, skip

_FLOAT, _INT = 0, 1
# prompb Histogram: tags of the fields, and where they are put
_VARINTS: Final = {0x08: 0, 0x30: 1, 0x20: 2, 0x70: 3, 0x78: 4, 0x88: 5}
COUNT, ZERO, SCHEMA, HINT, TIME, START = range(6)  # the first two also of the doubles
_DOUBLES: Final = {0x11: 0, 0x39: 1, 0x19: 2, 0x29: 3}
SUM, THRESHOLD = 2, 3
_PACKED: Final = {0x4A: 0, 0x52: 1, 0x62: 2, 0x6A: 3, 0x82: 4}
_SINGLE: Final = {0x48: 0, 0x51: 1, 0x60: 2, 0x69: 3, 0x81: 4}  # proto3 allows that, too
NEGATIVE, POSITIVE, BOUNDS = 0, 2, 4  # in each side the deltas, then the float counts
_SPANS: Final = {0x42: 0, 0x5A: 1}
_REPEATED: Final = frozenset(_SPANS)
_FLOAT_COUNT: Final = 0x11


class _Message(Struct):
    """One Histogram, its numbers and what is not decoded yet."""

    numbers: list[int] = field(default_factory=lambda: [0] * 6)
    doubles: list[bytes] = field(default_factory=lambda: [bytes(8)] * 4)
    packed: list[bytes] = field(default_factory=lambda: [b""] * 5)
    spans: list[bytes] = field(default_factory=lambda: [b"", b""])
    kind: int = _INT


class Fields(Struct, frozen=True):
    """The fields of n messages.

    Attributes:
        numbers: uint64, shape (n, 6).
        doubles: float64, shape (n, 4).
        integer: bool, shape (n,): False where the counts are floats.
        packed: Five lists of n.
        spans: Two lists of n, each with their tags.
    """

    numbers: npt.NDArray[np.uint64]
    doubles: Floats
    integer: Bools
    packed: Sequence[Sequence[bytes]]
    spans: Sequence[Sequence[bytes]]

    @classmethod
    def of(cls, messages: Sequence[_Message]) -> "Fields":
        """Put what was read one by one side by side."""
        doubles = np.frombuffer(b"".join(b"".join(m.doubles) for m in messages), dtype=np.float64)
        return cls(
            np.array([m.numbers for m in messages], dtype=np.uint64),
            doubles.reshape(-1, 4),
            np.array([m.kind == _INT for m in messages]),
            [[m.packed[n] for m in messages] for n in range(5)],
            [[m.spans[n] for m in messages] for n in range(2)],
        )


def read_fields(data: bytes, edges: Ints) -> Fields:
    """Read messages; ``edges`` has the start and stop of each, shape (n, 2).

    Raises:
        WireError: If one is none.
    """
    walked = walk(data, edges[:, 0], edges[:, 1], _REPEATED)
    if walked is None or not walked.numbers.keys().isdisjoint(_SINGLE):
        return Fields.of([_message(data, at, end) for at, end in edges.tolist()])
    if not walked.doubles.keys().isdisjoint(_SINGLE):
        return Fields.of([_message(data, at, end) for at, end in edges.tolist()])
    size = len(edges)
    numbers, doubles = np.zeros((size, 6), np.uint64), np.zeros((size, 4), np.uint64)
    for tag, column in _VARINTS.items():
        if tag in walked.numbers:
            numbers[:, column] = walked.numbers[tag]
    for tag, column in _DOUBLES.items():
        if tag in walked.doubles:
            doubles[:, column] = walked.doubles[tag]
    integer = ~walked.present.get(_FLOAT_COUNT, np.zeros(size, dtype=np.bool_))
    packed = [walked.pieces(data, tag) for tag in _PACKED]
    spans = [walked.pieces(data, tag, tagged=True) for tag in _SPANS]
    return Fields(numbers, doubles.view(np.float64), integer, packed, spans)


def _message(data: bytes, at: int, end: int) -> _Message:
    """Read one message.

    Raises:
        WireError: If it is none.
    """
    found = _Message()
    while at < end:
        begin = at
        tag, at = read_varint(data, at)
        if tag in _PACKED:
            start, at = read_delimited(data, at, end)
            found.packed[_PACKED[tag]] += data[start:at]
        elif tag in _SPANS:
            at = read_delimited(data, at, end)[1]
            found.spans[_SPANS[tag]] += data[begin:at]
        elif tag in _VARINTS:
            found.numbers[_VARINTS[tag]], at = read_varint(data, at)
        elif tag in _DOUBLES and at + 8 <= end:
            found.doubles[_DOUBLES[tag]] = data[at : at + 8]
            found.kind = _FLOAT if tag == _FLOAT_COUNT else found.kind
            at += 8
        elif tag in _SINGLE:
            start, at = at, skip(data, tag, at, end)
            found.packed[_SINGLE[tag]] += data[start:at]
        else:
            at = skip(data, tag, at, end)
    if at > end:
        raise WireError("a histogram is longer than its field")
    return found
