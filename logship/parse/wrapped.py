r"""Lines in Docker's json-file wrapper, as positions in their bytes: found for a whole chunk at once, nothing is decoded.

A wrapper is ``{"log":"TEXT\n","stream":"stdout","time":"TIME"}``. Where it holds a JSON log line,
each quote of that line is written ``\"``; so the backslashes of a chunk are all that is needed to
take its lines apart (``template``). Only the form that Docker itself writes is taken; anything
else (a torn line, a line of 16 KiB that goes on in the next) is for ``lines``.
"""

import re
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import replace

from logship.parse import timestamps
from model.samples import Ints

HEAD: Final = b'{"log":"'
LITERAL_MAX: Final = 1024  # longest piece that may be compared
_END: Final = b'"}\n'
_TAIL: Final = re.compile(rb'\\n","stream":"(stdout|stderr)",(?:"attrs":\{[^{}\\]*\},)?"time":"')
# behind a backslash it may be a text that holds such letters
_HTML: Final = [(re.compile(rb"(?<!\\)\\u00" + code), char) for code, char in ((b"3c", b"<"), (b"3e", b">"), (b"26", b"&"))]  # fmt: skip
_BACKSLASH, _QUOTE, _FIRST_PRINTED, _NEWLINE, _UNICODE = b'\\" \nu'

Chars = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class Wrapped(Struct, frozen=True):
    """n wrapped lines, each with at least one backslash.

    Attributes:
        data: The lines, and padding.
        offsets: Where each line starts in the bytes as they were given, shape (n,).
        starts: Where it starts in ``data``.
        breaks: Where its newline is.
        marks: Where all backslashes are.
        counts: How many of them each line has; the last one starts the wrapper's tail.
        tails: Where that is.
        times: Where the runtime's times start; they end before ``"}``.
        streams: Each line's stream.
    """

    data: bytes
    offsets: Ints
    starts: Ints
    breaks: Ints
    marks: Ints
    counts: Ints
    tails: Ints
    times: Ints
    streams: list[str]

    @classmethod
    def find(cls, data: bytes) -> Self | None:
        """Find the parts of whole lines; None if one of them goes on in the next or has another wrapper than the first."""
        if not data.startswith(HEAD):
            return None
        chars = np.frombuffer(data, dtype=np.uint8)
        breaks = np.flatnonzero(chars < _FIRST_PRINTED)
        if data[-1:] != b"\n" or (chars[breaks] != _NEWLINE).any() or not _is_utf8(data):
            return None
        starts: Ints = np.concatenate(([0], breaks[:-1] + 1))
        marks = np.flatnonzero(chars == _BACKSLASH)
        escaped = chars[marks + 1]
        if (escaped == _UNICODE).any():
            shorter = _without_html_escapes(data)
            if shorter != data:
                lines = cls.find(shorter)
                return replace(lines, offsets=starts) if lines is not None else None
        behind = np.searchsorted(marks, breaks)
        counts = np.diff(behind, prepend=0)
        if not counts.all():
            return None
        first = data[marks[behind[0] - 1] : breaks[0]]
        found = _TAIL.match(first)
        if found is None:
            return None
        padded = data + bytes(LITERAL_MAX)
        tails = marks[behind - 1]
        streams = _streams(padded, tails, found[0], found[1])
        if streams is None or not (same(padded, starts, HEAD) & same(padded, breaks - 2, _END)).all():  # fmt: skip
            return None
        # the quotes without a backslash are the wrapper's own, so there are none within its values
        quotes = np.count_nonzero(chars == _QUOTE) - np.count_nonzero(escaped == _QUOTE)
        if quotes != len(breaks) * (HEAD.count(b'"') + found[0].count(b'"') + 1):
            return None
        return cls(
            padded, starts, starts, breaks, marks, counts, tails, tails + len(found[0]), streams
        )

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self.starts)

    def firsts(self) -> Chars:
        """Return the first character of each line as it is in its wrapper: a backslash where it has none."""
        first: Chars = np.frombuffer(self.data, dtype=np.uint8)[self.starts + len(HEAD)]
        return first

    def places(self, rows: Ints, count: int) -> Ints:
        """Return where k lines with ``count`` backslashes start, and their backslashes: shape (k, 1 + count)."""
        places = np.empty((len(rows), count + 1), dtype=np.int64)
        places[:, 0] = self.starts[rows]
        if len(rows) == len(self):
            places[:, 1:] = self.marks.reshape(-1, count)
        else:
            last = np.cumsum(self.counts)[rows]
            places[:, 1:] = self.marks[last[:, None] + np.arange(-count, 0)]
        return places

    def line(self, row: int) -> bytes:
        """Return a line with its wrapper and its newline."""
        return self.data[self.starts[row] : self.breaks[row] + 1]

    def runtime_ns(self, rows: Ints | None = None) -> Ints:
        """Return the runtime's times of k > 0 rows or all, int64 shape (k,)."""
        starts, ends = self.times, self.breaks - 2
        if rows is not None:
            starts, ends = starts[rows], ends[rows]
        width = int((ends - starts).max())
        if 0 < width <= LITERAL_MAX:
            read = timestamps.padded(filled(self.data, starts, ends - starts))
            if read is not None:
                return read
        return timestamps.column([text.decode() for text in pieces(self.data, starts, ends)])


def pieces(data: bytes, starts: Ints, ends: Ints) -> list[bytes]:
    """Return the pieces between positions, none of which ends in NUL."""
    lengths = ends - starts
    if is_even(lengths):
        return rows_of(filled(data, starts, lengths))
    return [data[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def is_even(lengths: Ints) -> bool:
    """Tell whether pieces are of so even lengths that they may be laid out as a block."""
    widest = int(lengths.max())
    return 0 < widest < LITERAL_MAX and int(lengths.min()) * 2 >= widest


def filled(data: bytes, starts: Ints, lengths: Ints) -> Chars:
    """Return pieces as characters, filled up with NUL to the length of the longest."""
    width = int(lengths.max())
    chars = block(data, starts, width)
    chars *= np.arange(width, dtype=np.int16) < lengths.astype(np.int16)[:, None]
    return chars


def rows_of(chars: Chars) -> list[bytes]:
    """Return the rows of a block without the NULs at their ends."""
    rows: list[bytes] = chars.view(f"S{chars.shape[1]}").ravel().tolist()
    return rows


def block(data: bytes, starts: Ints, width: int) -> Chars:
    """Return pieces of one width as characters, shape (n, width)."""
    every = np.ndarray((len(data) - width + 1,), dtype=f"V{width}", buffer=data, strides=(1,))
    chars: Chars = every[starts].view(np.uint8).reshape(-1, width)
    return chars


def same(data: bytes, starts: Ints, text: bytes) -> Mask:
    """Tell at which positions a text stands."""
    chars = block(data, starts, len(text))
    if chars.tobytes() == text * len(starts):
        return np.ones(len(starts), dtype=np.bool_)
    matches: Mask = (chars == np.frombuffer(text, dtype=np.uint8)).all(axis=1)
    return matches


def _streams(data: bytes, tails: Ints, tail: bytes, name: bytes) -> list[str] | None:
    """Return each line's stream, or None if a tail differs in more than that."""
    first = same(data, tails, tail)
    if first.all():
        return [name.decode()] * len(tails)
    other = b"stderr" if name == b"stdout" else b"stdout"
    old, new = (b'"stream":"%b"' % n for n in (name, other))
    if not (first | same(data, tails, tail.replace(old, new, 1))).all():
        return None
    streams: list[str] = np.where(first, name.decode(), other.decode()).tolist()
    return streams


def _without_html_escapes(data: bytes) -> bytes:
    r"""Return JSON with ``<``, ``>`` and ``&`` as they are, where Docker writes ``\u003c`` and the like."""
    for escape, char in _HTML:
        data = escape.sub(char, data)
    return data


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
