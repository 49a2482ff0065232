"""The lines of a json-file log as texts, cut out by position; only lines with escapes in them are decoded."""

from typing import Final, Self

import msgspec
import numpy as np

from logship.parse.lines import Lines
from logship.parse.wrapped import HEAD, Chars, Wrapped, same
from model.samples import Ints

_TEXTS: Final = msgspec.json.Decoder(list[str])
_FAILURES: Final = (msgspec.MsgspecError, UnicodeError)
_BACKSLASH, _NEWLINE, _TAB = b"\\\n\t"


class WrappedLines(Lines):
    """See ``Lines``; the runtime's times are read when they are asked for.

    ``firsts`` is the first byte of each text, a newline where it is empty.
    """

    wrapped: Wrapped
    firsts: Chars

    @classmethod
    def of(cls, wrapped: Wrapped, start: int, end: int) -> Self | None:
        """Return the texts of lines that were read from ``start`` to ``end``; None if one is no JSON."""
        data, size = wrapped.data, len(wrapped)
        starts, ends = wrapped.starts + len(HEAD), wrapped.tails
        firsts = wrapped.firsts()
        if data.isascii():
            text = data.decode("ascii")
            texts = [
                text[first:last] for first, last in zip(starts.tolist(), ends.tolist(), strict=True)
            ]
        else:
            texts = [
                data[first:last].decode()
                for first, last in zip(starts.tolist(), ends.tolist(), strict=True)
            ]
        firsts[firsts == _BACKSLASH] = _NEWLINE
        escapes = wrapped.counts > 1
        if escapes.any():
            # most lines with an escape in them are frames of a trace, which start with the only one
            tabbed = (wrapped.counts == 2) & same(data, starts, b"\\t")
            firsts[tabbed] = _TAB
            for row in np.flatnonzero(tabbed).tolist():
                texts[row] = "\t" + texts[row][2:]
            if not _decode(texts, firsts, np.flatnonzero(escapes & ~tabbed).tolist()):
                return None
        offsets = np.empty(size + 1, dtype=np.int64)
        offsets[:-1] = wrapped.offsets
        offsets[:-1] += start
        offsets[-1] = end
        return cls(
            texts, offsets.tolist(), wrapped.streams, [], [], [], {}, wrapped=wrapped, firsts=firsts
        )

    def runtime_ns(self) -> Ints | None:
        """See ``Lines.runtime_ns``."""
        return self.wrapped.runtime_ns()


def _decode(texts: list[str], firsts: Chars, rows: list[int]) -> bool:
    """Decode the texts of some rows; return whether they all were JSON."""
    if not rows:
        return True
    quoted = '["' + '","'.join([texts[row] for row in rows]) + '"]'
    try:
        decoded = _TEXTS.decode(quoted)
    except _FAILURES:
        return False
    if len(decoded) != len(rows):
        return False
    for row, text in zip(rows, decoded, strict=True):
        texts[row] = text
    firsts[rows] = [min(ord(text[0]), 255) if text else _NEWLINE for text in decoded]
    return True
