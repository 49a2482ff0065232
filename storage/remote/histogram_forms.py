"""The forms of histogram messages: what stands in them around the numbers that change."""

from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.samples import Bools, Floats, Ints
from storage.remote.wire import WireError, read_delimited, read_varint

COUNT_TAG: Final = 0x08
_SUM, _SCHEMA, _THRESHOLD, _ZERO = 0x19, 0x20, 0x29, 0x30
_SPAN, _DELTAS, _HINT, _TIME = 0x5A, 0x62, 0x70, 0x78
TIME_BYTES: Final = 6
_SCHEMAS: Final = range(-4, 9)
_WINDOW: Final = np.arange(8)
MAX_COLUMNS: Final = (
    4096  # histograms whose buckets reach further are merged down until they do not
)

Bytes = npt.NDArray[np.uint8]


class Template(Struct, frozen=True):
    """The form of one message: ``08 <count> head [<zero count>] middle [<size> <deltas>] tail <time>``.

    Attributes:
        head: Behind the count, up to the tag of the zero count, or as ``middle`` if there is none.
        middle: Behind the zero count, up to the tag of the deltas, or to the tail.
        tail: Behind the deltas, the tag of the time included.
        has_sum: Whether ``head`` begins with the sum.
        has_zero: Whether there is a zero count.
        has_deltas: Whether there are buckets.
        schema: As it says.
        threshold: Likewise.
        hint: Likewise.
        index: int64: of each bucket.
    """

    head: bytes
    middle: bytes
    tail: bytes
    has_sum: bool
    has_zero: bool
    has_deltas: bool
    schema: int
    threshold: float
    hint: int
    index: Ints


class Forms(Struct, frozen=True):
    """The templates of n messages, side by side.

    Attributes:
        lengths: Of heads, middles and tails; int64, shape (3, n).
        fixed: All heads, then all middles, then all tails; sums left blank.
        mask: 0xFF where ``fixed`` counts.
        columns: int64: of each bucket, counted from the first one of its message.
        has_sum: bool, shape (n,), as all that follow.
        has_zero: As in a template.
        has_deltas: Likewise.
        counts: Number of buckets.
        first: Index of the first one.
        schema: As in a template.
        threshold: Likewise.
        hint: Likewise.
    """

    lengths: Ints
    fixed: Bytes
    mask: Bytes
    columns: Ints
    has_sum: Bools
    has_zero: Bools
    has_deltas: Bools
    counts: Ints
    first: npt.NDArray[np.int32]
    schema: npt.NDArray[np.int32]
    threshold: Floats
    hint: npt.NDArray[np.int8]

    @classmethod
    def of(cls, templates: Sequence[Template]) -> Self:
        """Put templates side by side."""
        blocks = [[getattr(t, n) for t in templates] for n in ("head", "middle", "tail")]
        lengths = np.array([[len(one) for one in some] for some in blocks], dtype=np.int64)
        fixed: Bytes = np.frombuffer(b"".join(map(b"".join, blocks)), dtype=np.uint8).copy()
        mask = np.full(len(fixed), 0xFF, dtype=np.uint8)
        has_sum = np.array([t.has_sum for t in templates])
        begins = (np.cumsum(lengths[0]) - lengths[0])[has_sum]
        mask[begins[:, None] + 1 + _WINDOW] = 0
        counts = np.array([len(t.index) for t in templates], dtype=np.int64)
        first = np.array([t.index[0] if len(t.index) else 0 for t in templates], dtype=np.int32)
        return cls(
            lengths,
            fixed & mask,
            mask,
            np.concatenate([t.index for t in templates]) - np.repeat(first, counts),
            has_sum,
            np.array([t.has_zero for t in templates]),
            np.array([t.has_deltas for t in templates]),
            counts,
            first,
            np.array([t.schema for t in templates], dtype=np.int32),
            np.array([t.threshold for t in templates], dtype=np.float64),
            np.array([t.hint for t in templates], dtype=np.int8),
        )

    def only(self, some: Bools) -> "Forms":
        """Return those of some messages."""
        kept = np.concatenate([np.repeat(some, lengths) for lengths in self.lengths])
        columns = self.columns[np.repeat(some, self.counts)]
        each = [getattr(self, name)[some] for name in _EACH]
        return Forms(self.lengths[:, some], self.fixed[kept], self.mask[kept], columns, *each)

    def mended(self, others: "Forms", places: Bools) -> "Forms":
        """Put those of other messages between these; ``places`` tells which ones of all these are."""
        lengths = np.empty((3, len(places)), dtype=np.int64)
        lengths[:, places], lengths[:, ~places] = self.lengths, others.lengths
        mine = np.concatenate([np.repeat(places, some) for some in lengths])
        each = [_between(getattr(self, n), getattr(others, n), places) for n in _EACH]
        counts = each[_EACH.index("counts")]
        return Forms(
            lengths,
            _between(self.fixed, others.fixed, mine),
            _between(self.mask, others.mask, mine),
            _between(self.columns, others.columns, np.repeat(places, counts)),
            *each,
        )


def _between(some: Any, others: Any, places: Bools) -> Any:
    out = np.empty(len(places), dtype=some.dtype)
    out[places], out[~places] = some, others
    return out


_EACH: Final = Forms.__struct_fields__[4:]


def template_of(data: bytes, at: int, stop: int, index: Ints) -> Template | None:
    """Return the form of a message; None if it is not a usual one."""
    try:
        return _form(data, at, stop, index)
    except (WireError, IndexError):
        return None


def _form(data: bytes, at: int, stop: int, index: Ints) -> Template | None:
    if data[at] != COUNT_TAG:
        return None
    _, head = read_varint(data, at + 1)
    at = head
    has_sum, has_zero, has_deltas = data[at] == _SUM, False, False
    at += 9 * has_sum
    schema, threshold, hint = 0, 0.0, 0
    if data[at] == _SCHEMA:
        number, at = read_varint(data, at + 1)
        schema = (number >> 1) ^ -(number & 1)
    if data[at] == _THRESHOLD:
        threshold = float(np.frombuffer(data, np.float64, 1, at + 1)[0])
        at += 9
    middle = head_end = -1
    if data[at] == _ZERO:
        has_zero, head_end = True, at + 1
        _, middle = read_varint(data, at + 1)
        at = middle
    while data[at] == _SPAN:
        at = read_delimited(data, at + 1, stop)[1]
    middle_end = tail = at
    if data[at] == _DELTAS:
        has_deltas, middle_end = True, at + 1
        tail = at = read_delimited(data, at + 1, stop)[1]
    if data[at] == _HINT:
        hint, at = read_varint(data, at + 1)
    usual = data[at] == _TIME and at + 1 + TIME_BYTES == stop and schema in _SCHEMAS
    wide = len(index) and int(index[-1] - index[0]) >= MAX_COLUMNS
    if not usual or wide or has_deltas != bool(len(index)):
        return None
    if not has_zero:
        head_end, middle = middle_end, middle_end
    return Template(
        head=data[head:head_end],
        middle=data[middle:middle_end],
        tail=data[tail : at + 1],
        has_sum=has_sum,
        has_zero=has_zero,
        has_deltas=has_deltas,
        schema=schema,
        threshold=threshold,
        hint=min(hint, 3),
        index=index,
    )
