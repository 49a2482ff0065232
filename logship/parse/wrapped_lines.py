"""The lines of a json-file log, left where they are; only those with escapes in them are decoded."""

from typing import Final, Self

import msgspec
import numpy as np
from msgspec import Struct, field

from logship.parse.cut import Cut
from logship.parse.wrapped import HEAD, Wrapped, same
from model.samples import Ints

_TEXTS: Final = msgspec.json.Decoder(list[str])
_FAILURES: Final = (msgspec.MsgspecError, UnicodeError)
_BACKSLASH, _NEWLINE, _TAB = b"\\\n\t"


class WrappedLines(Struct):
    """What ``Lines`` has; the runtime's times are read when they are asked for."""

    texts: Cut
    starts: list[int]
    streams: list[str]
    wrapped: Wrapped
    partial: list[int] = field(default_factory=list)
    unwrapped: list[int] = field(default_factory=list)
    sizes: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, wrapped: Wrapped, start: int, end: int) -> Self | None:
        """Return the lines that were read from ``start`` to ``end``; None if one is no JSON."""
        data = wrapped.data
        starts, ends = wrapped.starts + len(HEAD), wrapped.tails
        firsts = wrapped.firsts()
        firsts[firsts == _BACKSLASH] = _NEWLINE
        escapes = wrapped.counts > 1
        # most lines with an escape in them are frames of a trace, which start with the only one
        tabbed = (wrapped.counts == 2) & same(data, starts, b"\\t")
        firsts[tabbed] = _TAB
        clean = wrapped.marks[np.cumsum(wrapped.counts) - wrapped.counts]
        whole = data.decode("ascii") if data.isascii() else None
        texts = Cut(data, starts, ends, clean, firsts, tabbed, whole)
        if not _decode(texts, np.flatnonzero(escapes & ~tabbed).tolist()):
            return None
        offsets = np.empty(len(wrapped) + 1, dtype=np.int64)
        offsets[:-1] = wrapped.offsets
        offsets[:-1] += start
        offsets[-1] = end
        return cls(texts, offsets.tolist(), wrapped.streams, wrapped)

    def runtime_ns(self, rows: Ints | None = None) -> Ints:
        """See ``Lines.runtime_ns``."""
        return self.wrapped.runtime_ns(rows)


def _decode(texts: Cut, rows: list[int]) -> bool:
    """Decode the texts of some rows; return whether they all were JSON."""
    if not rows:
        return True
    try:
        decoded = _TEXTS.decode('["' + '","'.join(texts.some(rows)) + '"]')
    except _FAILURES:
        return False
    if len(decoded) != len(rows):
        return False
    texts.aside.update(zip(rows, decoded, strict=True))
    texts.firsts[rows] = [min(ord(text[0]), 255) if text else _NEWLINE for text in decoded]
    return True
