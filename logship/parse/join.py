"""From lines to records: Docker's 16 KiB partials and stack traces become one each.

A record may be incomplete at the end of what was read. Then everything from the first incomplete
record on stays in the file: the next read starts there. So a position is all the state there is,
and what is read after a restart is cut into the same records.
"""

from dataclasses import dataclass, field

from logship.parse.lines import LINE_BYTES_MAX, Lines
from logship.parse.multiline import GAP_NS, LINES_MAX, Kind, step
from model.log import Flag
from model.samples import Ints


@dataclass(slots=True)
class Records:
    """n records, before their text is understood. ``times`` is None where the runtime gave none."""

    texts: list[str]
    starts: list[int]
    streams: list[str]
    times: Ints | None
    flags: dict[int, int]
    sizes: dict[int, int]
    end: int


@dataclass(slots=True)
class _Open:
    """A record that may go on."""

    row: int
    start: int
    stream: str
    parts: list[str] = field(default_factory=list)
    size: int = 0
    lines: int = 0
    kind: Kind = Kind.CLOSED
    partial: bool = False
    last: int = 0
    flags: int = 0


def join(lines: Lines, *, multiline: bool, closing: bool, final: bool) -> Records:
    """Join the lines.

    Args:
        lines: What was read.
        multiline: Whether stack traces are joined.
        closing: Nothing has followed for so long that open traces are complete.
        final: Nothing will ever follow: what is left of a partial line is complete too.
    """
    times = lines.runtime_ns()
    flags = dict.fromkeys(lines.unwrapped, int(Flag.UNPARSED))
    end = lines.starts[-1]
    if not lines.partial and (
        not multiline or all(text[:1] == "{" for text in lines.texts)
    ):  # the usual case, at the speed of C
        records = Records(lines.texts, lines.starts[:-1], lines.streams, times, flags, lines.sizes, end)
        return records
    return _Joiner(lines, times, multiline=multiline).run(closing=closing, final=final)


class _Joiner:
    def __init__(self, lines: Lines, times: Ints | None, *, multiline: bool) -> None:
        self._lines = lines
        self._times = times
        self._clock = times.tolist() if times is not None else None
        self._multiline = multiline
        self._open: dict[str, _Open] = {}
        self._done: list[_Open] = []

    def run(self, *, closing: bool, final: bool) -> Records:
        lines = self._lines
        partial = set(lines.partial)
        unwrapped = set(lines.unwrapped)
        streams = lines.streams or [""] * len(lines.texts)
        for row, (text, stream) in enumerate(zip(lines.texts, streams, strict=True)):
            current = self._open.get(stream)
            if current is None or not self._joins(current, row, text):
                if current is not None:
                    self._done.append(current)
                current = _Open(row, lines.starts[row], stream)
                current.kind = self._first_kind(text)
                self._open[stream] = current
            self._add(current, row, text, partial=row in partial)
            if row in unwrapped:
                current.flags |= Flag.UNPARSED
        end = lines.starts[-1]
        for current in self._open.values():
            if final or not (current.partial or (current.kind is not Kind.CLOSED and not closing)):
                self._done.append(current)
            else:
                end = min(end, current.start)
        self._done.sort(key=lambda record: record.row)
        return self._records([r for r in self._done if r.start < end], end)

    def _first_kind(self, text: str) -> Kind:
        return step(Kind.CLOSED, text)[0] if self._multiline and text[:1] != "{" else Kind.CLOSED

    def _joins(self, current: _Open, row: int, text: str) -> bool:
        if current.partial:
            return True
        if not self._multiline or current.kind is Kind.CLOSED or current.lines >= LINES_MAX:
            return False
        if current.size > LINE_BYTES_MAX:
            return False
        if self._clock and self._clock[row] - self._clock[current.last] > GAP_NS:
            return False
        kind, joins = step(current.kind, text)
        if joins:
            current.kind = kind
        return joins

    def _add(self, current: _Open, row: int, text: str, *, partial: bool) -> None:
        size = len(text)
        if current.lines:
            if not current.partial:
                current.parts.append("\n")
                current.flags |= Flag.MULTILINE
                size += 1
        if current.size <= LINE_BYTES_MAX:
            current.parts.append(text)
        current.size += size
        # a partial's continuation is the same line, and its first part says what kind it is
        current.lines += 0 if current.partial and current.lines else 1
        current.partial = partial
        current.last = row

    def _records(self, done: list[_Open], end: int) -> Records:
        lines = self._lines
        rows = [record.row for record in done]
        return Records(
            ["".join(r.parts) if len(r.parts) > 1 else r.parts[0] for r in done],
            [r.start for r in done],
            [r.stream for r in done] if lines.streams else [],
            self._times[rows] if self._times is not None else None,
            {n: r.flags for n, r in enumerate(done) if r.flags},
            {n: lines.sizes[r.row] for n, r in enumerate(done) if r.row in lines.sizes},
            end,
        )
