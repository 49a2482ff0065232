"""The fields of many protobuf messages of one kind, found all at once: one step of numpy for each field.

Only what senders usually write is walked: fields once each (repeated messages behind one another),
varints, doubles and delimited fields. Anything else is left to who reads message by message.
"""

import numpy as np
import numpy.typing as npt
from msgspec import Struct

Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]

_VARINT, _DOUBLE, _DELIMITED = 0, 1, 2  # wire types
_MOST_STEPS = 64  # fields of a message


class Walked(Struct):
    """What stood in n messages, by tag.

    Attributes:
        size: n.
        numbers: uint64, shape (n,): varints, 0 where there is none.
        doubles: uint64, shape (n,): the bits of doubles, 0 where there is none.
        starts: int64, shape (n,): where a delimited field begins, its tag included; 0 where there is none.
        bodies: int64, shape (n,): where its contents begin.
        stops: int64, shape (n,): where it ends; of the last one where it is repeated.
        present: bool, shape (n,): whether there is a double.
    """

    size: int
    numbers: dict[int, Numbers]
    doubles: dict[int, Numbers]
    starts: dict[int, Ints]
    bodies: dict[int, Ints]
    stops: dict[int, Ints]
    present: dict[int, npt.NDArray[np.bool_]]

    def pieces(self, data: bytes, tag: int, *, tagged: bool = False) -> list[bytes]:
        """Return the contents of a delimited field of each message, b"" where there is none."""
        if tag not in self.stops:
            return [b""] * self.size
        starts = (self.starts if tagged else self.bodies)[tag].tolist()
        return [data[a:b] for a, b in zip(starts, self.stops[tag].tolist(), strict=True)]


def walk(data: bytes, starts: Ints, stops: Ints, repeated: frozenset[int]) -> Walked | None:
    """Find the fields of the messages at ``data[start:stop]``; None if that is not simple.

    Args:
        data: Some bytes.
        starts: int64, shape (n,).
        stops: int64, shape (n,).
        repeated: Tags that may occur again directly behind themselves.
    """
    raw = np.frombuffer(data + bytes(32), dtype=np.uint8)  # room behind the last field
    words = np.lib.stride_tricks.sliding_window_view(raw, 8)
    size = len(starts)
    found = Walked(size, {}, {}, {}, {}, {}, {})
    at = starts.copy()
    active = np.arange(size)
    active = active[at < stops]
    for _ in range(_MOST_STEPS):
        if not len(active):
            return found
        place = at[active]
        tags, place = _varints(raw, place)
        if tags is None:
            return None
        first = int(tags[0])
        groups = (
            [(first, slice(None))]
            if (tags == first).all()
            else [(int(tag), np.flatnonzero(tags == tag)) for tag in np.unique(tags)]
        )
        for tag, members in groups:
            who, here = active[members], place[members]
            kind = tag & 7
            if kind == _VARINT:
                numbers, after = _varints(raw, here)
                if numbers is None:
                    return None
                found.numbers.setdefault(tag, np.zeros(size, np.uint64))[who] = numbers
            elif kind == _DOUBLE:
                after = here + 8
                if (after > len(data)).any():
                    return None
                bits = np.ascontiguousarray(words[here]).view(np.uint64).reshape(-1)
                found.doubles.setdefault(tag, np.zeros(size, np.uint64))[who] = bits
                found.present.setdefault(tag, np.zeros(size, np.bool_))[who] = True
            elif kind == _DELIMITED:
                lengths, body = _varints(raw, here)
                if lengths is None or (lengths > len(data)).any():
                    return None
                after = body + lengths.astype(np.int64)
                begin = at[who]
                known = found.stops.setdefault(tag, np.zeros(size, np.int64))
                seen = known[who] > 0
                if seen.any() and (tag not in repeated or (known[who][seen] != begin[seen]).any()):
                    return None
                kept = found.starts.setdefault(tag, np.zeros(size, np.int64))
                kept[who] = np.where(seen, kept[who], begin)
                found.bodies.setdefault(tag, np.zeros(size, np.int64))[who] = body
                known[who] = after
            else:
                return None
            at[who] = after
        if (at[active] > stops[active]).any():
            return None
        active = active[at[active] < stops[active]]
    return None


def _varints(raw: Bytes, at: Ints) -> tuple[Numbers | None, Ints]:
    """Return the varints at some places, and the places behind; None if one is too long."""
    byte = raw[at]
    number = (byte & 0x7F).astype(np.uint64)
    more = byte >= 0x80
    if not more.any():
        return number, at + 1
    length = np.ones(len(at), dtype=np.int64)
    rest = np.flatnonzero(more)
    for digit in range(1, 10):
        byte = raw[np.minimum(at[rest] + digit, len(raw) - 1)]
        number[rest] |= (byte & 0x7F).astype(np.uint64) << np.uint64(7 * digit)
        length[rest] += 1
        rest = rest[byte >= 0x80]
        if not len(rest):
            return number, at + length
    return None, at
