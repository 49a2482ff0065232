"""From lines to records: Docker's 16 KiB partials and stack traces become one each.

A record may be incomplete at the end of what was read. Then everything from the first incomplete
record on stays in the file: the next read starts there. So a position is all the state there is,
and what is read after a restart is cut into the same records.
"""

from collections.abc import Callable

import numpy as np
from msgspec import Struct

from logship.parse.levels import LevelFinder
from logship.parse.lines import LINE_BYTES_MAX, Lines
from logship.parse.multiline import FRAME_START, GAP_NS, LINES_MAX, SUSPECT, Kind, goes_on, opens
from logship.parse.timestamps import FEW
from model.log import Flag, Level
from model.samples import Ints

_DIGITS = ord("0"), ord("9")  # no trace starts with one, but most lines do: their time


class Records(Struct):
    """n records, before their text is understood.

    ``runtime`` gives the runtime's times, None where it gave none; ``levels`` (what plain lines name) where all
    lines are JSON. ``flags`` and ``sizes`` (bytes before a cut) are by row.
    """

    texts: list[str]
    starts: list[int]
    streams: list[str]
    runtime: Callable[[], Ints | None]
    levels: list[int] | None
    flags: dict[int, int]
    sizes: dict[int, int]
    end: int


class _Open(Struct):
    """A record that may go on."""

    row: int
    parts: list[str]
    size: int
    kind: Kind
    partial: bool
    last: int  # row of its last line
    lines: int = 1


def join(lines: Lines, levels: LevelFinder, *, multiline: bool, closing: bool, final: bool) -> Records:  # fmt: skip
    """Join the lines.

    Args:
        lines: What was read.
        levels: Tells the level of plain lines.
        multiline: Whether stack traces are joined.
        closing: Nothing has followed for so long that open traces are complete.
        final: Nothing will ever follow: what is left of a partial line is complete too.
    """
    flags = dict.fromkeys(lines.unwrapped, int(Flag.UNPARSED))
    structured = all([text[:1] == "{" for text in lines.texts])  # noqa: C419  # half of a generator's price
    found = None if structured else levels.levels(lines.texts)
    if not lines.partial and (
        structured or not multiline or _all_closed(lines.texts, found)
    ):  # the usual case, at the speed of C
        return Records(lines.texts, lines.starts[:-1], lines.streams, lines.runtime_ns, found, flags, lines.sizes, lines.starts[-1])  # fmt: skip
    return _Joiner(lines, found, multiline=multiline).run(closing=closing, final=final)


def _all_closed(texts: list[str], levels: list[int] | None) -> bool:
    """Tell whether nothing can follow any of a few lines; of many, one mostly opens a record."""
    if len(texts) > FEW or levels is None:
        return False
    return not any(
        text[:1] != "{" and (level >= Level.WARN or SUSPECT.match(text))
        for text, level in zip(texts, levels, strict=True)
    )


class _Joiner:
    def __init__(self, lines: Lines, levels: list[int] | None, *, multiline: bool) -> None:  # fmt: skip
        self._lines = lines
        self._times = times = lines.runtime_ns()
        self._clock = times.tolist() if times is not None else None
        self._one = one = (
            lines.streams.count(lines.streams[0]) == len(lines.streams) if lines.streams else True
        )
        gaps = times is not None and (np.diff(times) > GAP_NS).any()
        self._even = one and not gaps and not lines.partial  # neighbours may belong together
        self._levels = levels
        self._multiline = multiline
        self._open: dict[str, _Open] = {}
        self._joined: dict[int, _Open] = {}

    def run(self, *, closing: bool, final: bool) -> Records:
        lines, open_, levels = self._lines, self._open, self._levels
        partial = set(lines.partial)
        streams = lines.streams or [""] * len(lines.texts)
        multiline = self._multiline and levels is not None
        suspect = SUSPECT.match
        rows: list[int] = []
        row, size = 0, len(lines.texts)
        opening = iter(self._opening(partial, multiline=multiline))
        following = -1  # the next row that may open a record
        while row < size:
            if not open_:  # on to the next row that may open one; those before it are whole
                while following < row:
                    following = next(opening, size)
                rows += range(row, following)
                row = following
                if row == size:
                    break
            text, stream = lines.texts[row], streams[row]
            current = open_.get(stream)
            if current is not None:
                taken = self._add_frames(current, row) or self._add(current, row, text, partial=row in partial)  # fmt: skip
                row += taken
                if taken:
                    continue
                del open_[stream]
            rows.append(row)
            kind = Kind.CLOSED
            if multiline and text[:1] != "{":
                level = levels[row] if levels else 0
                if level >= Level.WARN or suspect(text):
                    kind = opens(text, level)
            if kind or row in partial:
                open_[stream] = _Open(row, [text], len(text), kind, row in partial, row)
            row += 1
        end = lines.starts[-1]
        for current in open_.values():
            incomplete = current.partial or (current.kind is not Kind.CLOSED and not closing)
            if incomplete and not final:
                end = min(end, lines.starts[current.row])
        return self._records([row for row in rows if lines.starts[row] < end], end)

    def _opening(self, partial: set[int], *, multiline: bool) -> list[int]:
        """Return the rows that may open a record: by level, by their first character, as a part."""
        if not multiline:
            return sorted(partial)
        levels = np.array(self._levels, dtype=np.uint8)
        first = np.frombuffer("".join([text[:1] or "\n" for text in self._lines.texts]).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)  # fmt: skip
        timed = (first >= _DIGITS[0]) & (first <= _DIGITS[1])
        may = (levels >= Level.WARN) | ~timed
        if self._one:  # an alert with another line of the log behind it announces nothing
            may[:-1] &= ~(timed[:-1] & timed[1:])
        may[list(partial)] = True
        rows: list[int] = np.flatnonzero(may).tolist()
        return rows

    def _add_frames(self, current: _Open, row: int) -> int:
        """Add the frames of a Java trace in one go; return how many lines, 0 if they must be looked at one by one."""
        if not self._even or current.partial or current.kind not in (Kind.ALERT, Kind.FRAMES):
            return 0
        texts = self._lines.texts
        end, limit = row, min(len(texts), row + LINES_MAX - current.lines)
        while end < limit and texts[end].startswith(FRAME_START):
            end += 1
        if end == row:
            return 0
        added = "\n" + "\n".join(texts[row:end])
        if current.size + len(added) > LINE_BYTES_MAX:
            return 0
        current.parts.append(added)
        current.size += len(added)
        current.lines += end - row
        current.kind = Kind.FRAMES
        current.last = end - 1
        self._joined[current.row] = current
        return end - row

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

    def _records(self, rows: list[int], end: int) -> Records:
        lines = self._lines
        unwrapped = set(lines.unwrapped)
        times = self._times[rows] if self._times is not None else None
        records = Records(
            [lines.texts[row] for row in rows],
            [lines.starts[row] for row in rows],
            [lines.streams[row] for row in rows] if lines.streams else [],
            lambda: times,
            [self._levels[row] for row in rows] if self._levels is not None else None,
            {},
            {},
            end,
        )
        if not (unwrapped or self._joined or lines.sizes):
            return records
        for index, row in enumerate(rows):
            joined = self._joined.get(row)
            if joined is not None:
                records.texts[index] = "".join(joined.parts)
                if joined.size > LINE_BYTES_MAX:
                    records.sizes[index] = joined.size
            bits = (Flag.MULTILINE if joined and joined.lines > 1 else 0) | (Flag.UNPARSED if row in unwrapped else 0)  # fmt: skip
            if bits:
                records.flags[index] = bits
            if row in lines.sizes:
                records.sizes[index] = lines.sizes[row]
        return records
