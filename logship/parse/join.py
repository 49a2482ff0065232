"""From lines to records: Docker's 16 KiB partials and stack traces become one each.

A record may be incomplete at the end of what was read. Then everything from the first incomplete
record on stays in the file: the next read starts there. So a position is all the state there is,
and what is read after a restart is cut into the same records.

Only lines that may open a record are looked at one by one: those that look like the start of a
trace, and those with such a line behind them. Most lines start with a time and are passed over.
"""

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from logship.parse.cut import Cut, some
from logship.parse.levels import of_line
from logship.parse.lines import LINE_BYTES_MAX, Lines
from logship.parse.multiline import GAP_NS, LINES_MAX, SUSPECT, Kind, goes_on, opens
from logship.parse.wrapped_lines import WrappedLines
from model.log import Flag, Level
from model.samples import Ints

# no record of several lines starts with one of these, nor goes on with one behind an alert
_SUSPICIOUS: Final = np.ones(256, dtype=np.bool_)
_SUSPICIOUS[[ord(char) for char in "0123456789[(<{\"'#*=>|:;,.?!@&%~^"]] = False
_BRACE: Final = ord("{")
_TAB: Final = ord("\t")
_FRAME: Final = "\n\tat "  # of Java, of which a trace has dozens
_Mask = npt.NDArray[np.bool_]


class Records(Struct):
    """n records, before their text is understood.

    ``runtime`` gives the runtime's times of some rows, None where it gave none. ``flags`` and ``sizes`` (bytes
    before a cut) are by row. ``structured``: every line starts with a brace. ``firsts`` is the first
    character of each record, see ``first_chars``.
    """

    texts: Sequence[str]
    starts: list[int] | Ints
    streams: list[str]
    runtime: Callable[[Ints], Ints | None]
    flags: dict[int, int]
    sizes: dict[int, int]
    end: int
    structured: bool = False
    firsts: npt.NDArray[np.uint8] | None = None


class _Open(Struct):
    """A record that may go on."""

    row: int
    parts: list[str]
    size: int
    kind: Kind
    partial: bool
    last: int  # row of its last line
    lines: int = 1


def join(lines: Lines | WrappedLines, *, multiline: bool, closing: bool, final: bool) -> Records:
    """Join the lines.

    Args:
        lines: What was read.
        multiline: Whether stack traces are joined.
        closing: Nothing has followed for so long that open traces are complete.
        final: Nothing will ever follow: what is left of a partial line is complete too.
    """
    flags = dict.fromkeys(lines.unwrapped, int(Flag.UNPARSED))
    firsts = first_chars(lines)
    structured = bool((firsts == _BRACE).all())
    opening = _opening(lines, firsts) if multiline and not structured else []
    if not lines.partial and not opening:  # the usual case, at the speed of C
        return Records(lines.texts, lines.starts[:-1], lines.streams, lines.runtime_ns, flags, lines.sizes, lines.starts[-1], structured, firsts)  # fmt: skip
    return _Joiner(lines, firsts, opening).run(closing=closing, final=final)


def first_chars(lines: Lines | WrappedLines) -> npt.NDArray[np.uint8]:
    """Return the first character of each line, 255 if it is none of ASCII, a newline where there is none."""
    if isinstance(lines, WrappedLines):
        return lines.texts.firsts
    firsts = "".join([text[:1] or "\n" for text in lines.texts])
    if firsts.isascii():
        return np.frombuffer(firsts.encode(), dtype=np.uint8)
    wide = np.frombuffer(firsts.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return np.minimum(wide, 255).astype(np.uint8)


def _opening(lines: Lines | WrappedLines, firsts: npt.NDArray[np.uint8]) -> list[int]:
    """Return the rows that may open a record of several lines, rising.

    Those are the suspects, and what has a suspect of the same stream behind it or, as yet, nothing.
    """
    suspects: _Mask = _SUSPICIOUS[firsts]
    texts = lines.texts
    indented = firsts == _TAB  # goes on, and opens nothing
    rows = np.flatnonzero(suspects & ~indented)
    suspects[rows] = [found is not None for found in map(SUSPECT.match, some(texts, rows.tolist()))]
    may = suspects.copy()
    for rows in _by_stream(lines):
        may[rows[:-1]] |= suspects[rows[1:]]
        may[rows[-1:]] = True
    opening = suspects & (firsts != _BRACE) & ~indented
    alerts = np.flatnonzero(may & (firsts != _BRACE) & ~suspects)
    opening[alerts] = [of_line(text) >= Level.WARN for text in some(texts, alerts.tolist())]
    rows_opening: list[int] = np.flatnonzero(opening).tolist()
    return rows_opening


def _by_stream(lines: Lines | WrappedLines) -> list[Ints]:
    streams = lines.streams
    if not streams or streams.count(streams[0]) == len(streams):
        return [np.arange(len(lines.texts))]
    names = np.array(streams)
    return [np.flatnonzero(names == name) for name in dict.fromkeys(streams)]


class _Joiner:
    def __init__(
        self, lines: Lines | WrappedLines, firsts: npt.NDArray[np.uint8], opening: Sequence[int]
    ) -> None:
        self._lines = lines
        self._firsts = firsts
        self._unindented = np.append(np.flatnonzero(firsts != _TAB), len(firsts))
        self._times = times = lines.runtime_ns()
        streams = lines.streams
        self._one = one = streams.count(streams[0]) == len(streams) if streams else True
        gaps = times is not None and (np.diff(times) > GAP_NS).any()
        self._even = one and not gaps and not lines.partial  # neighbours may belong together
        self._clock = times.tolist() if times is not None and (gaps or not one) else None
        self._may_open = set(opening)
        self._opening = sorted({*opening, *lines.partial})
        self._open: dict[str, _Open] = {}
        self._joined: dict[int, _Open] = {}
        self._kept = bytearray(b"\1") * len(
            lines.texts
        )  # 0 for lines that are part of another's record

    def run(self, *, closing: bool, final: bool) -> Records:
        lines, open_, kept = self._lines, self._open, self._kept
        partial = set(lines.partial)
        streams = lines.streams or [""] * len(lines.texts)
        row, size = 0, len(lines.texts)
        opening = iter(self._opening)
        following = -1  # the next row that may open a record
        while row < size:
            if not open_:  # on to the next row that may open one; those before it are whole
                while following < row:
                    following = next(opening, size)
                row = following
                if row == size:
                    break
            text, stream = lines.texts[row], streams[row]
            current = open_.get(stream)
            if current is not None:
                taken = (text[:1] == "\t" and self._add_frames(current, row)) or self._add(current, row, text, partial=row in partial)  # fmt: skip
                if taken:
                    kept[row : row + taken] = bytes(taken)
                    row += taken
                    continue
                del open_[stream]
            kind = opens(text) if row in self._may_open else Kind.CLOSED
            if kind or row in partial:
                open_[stream] = _Open(row, [text], len(text), kind, row in partial, row)
            row += 1
        end = lines.starts[-1]
        for current in open_.values():
            incomplete = current.partial or (current.kind is not Kind.CLOSED and not closing)
            if incomplete and not final and lines.starts[current.row] < end:
                end = lines.starts[current.row]
                kept[current.row :] = bytes(size - current.row)
        return self._records(end)

    def _add_frames(self, current: _Open, row: int) -> int:
        """Add the frames of a Java trace in one go; return how many lines, 0 if they must be looked at one by one."""
        if not self._even or current.partial or current.kind not in (Kind.ALERT, Kind.FRAMES):
            return 0
        end = int(self._unindented[self._unindented.searchsorted(row)])
        end = min(end, row + LINES_MAX - current.lines)
        if end <= row:
            return 0
        added = self._frames(row, end)
        if added is None:
            return 0
        if current.size + len(added) > LINE_BYTES_MAX:
            return 0
        current.parts.append(added)
        current.size += len(added)
        current.lines += end - row
        current.kind = Kind.FRAMES
        current.last = end - 1
        self._joined[current.row] = current
        return end - row

    def _frames(self, row: int, end: int) -> str | None:
        texts = self._lines.texts
        if isinstance(texts, Cut):
            return texts.frames(row, end)
        added = "\n" + "\n".join(texts[row:end])
        return added if added.count(_FRAME) == end - row else None

    def _add(self, current: _Open, row: int, text: str, *, partial: bool) -> int:
        """Add a line to an open record and return 1, if it belongs to it; else 0."""
        if current.partial:
            separator = ""
        else:
            if current.lines >= LINES_MAX or current.size > LINE_BYTES_MAX:
                return 0
            if self._clock and self._clock[row] - self._clock[current.last] > GAP_NS:
                return 0
            kind = goes_on(current.kind, text)
            if kind is None:
                return 0
            current.kind = kind
            current.lines += 1
            separator = "\n"
        if current.size <= LINE_BYTES_MAX:
            current.parts.append(separator + text)
        current.size += len(separator) + len(text)
        current.partial = partial
        current.last = row
        self._joined[current.row] = current
        return 1

    def _records(self, end: int) -> Records:
        lines, kept, times = self._lines, self._kept, self._times
        index = np.flatnonzero(np.frombuffer(kept, dtype=np.uint8))
        streams = lines.streams
        if streams:
            streams = streams[:1] * len(index) if self._one else list(compress(streams, kept))
        texts = lines.texts.take(index) if isinstance(lines.texts, Cut) else list(compress(lines.texts, kept))  # fmt: skip
        starts = np.array(lines.starts, dtype=np.int64)[index]
        records = Records(texts, starts, streams, lambda rows: times[index[rows]] if times is not None else None, {}, {}, end, firsts=self._firsts[index])  # fmt: skip
        special = sorted({*self._joined, *lines.sizes, *lines.unwrapped})
        unwrapped = set(lines.unwrapped)
        for row, n in zip(special, np.searchsorted(index, special).tolist(), strict=True):
            if n == len(index) or index[n] != row:
                continue  # part of another record, or incomplete: it is read again
            joined = self._joined.get(row)
            if joined is not None:
                whole = "".join(joined.parts)
                if isinstance(texts, Cut):
                    texts.aside[n] = whole
                else:
                    texts[n] = whole
                if joined.size > LINE_BYTES_MAX:
                    records.sizes[n] = joined.size
            bits = (Flag.MULTILINE if joined and joined.lines > 1 else 0) | (Flag.UNPARSED if row in unwrapped else 0)  # fmt: skip
            if bits:
                records.flags[n] = bits
            if row in lines.sizes:
                records.sizes[n] = lines.sizes[row]
        return records
