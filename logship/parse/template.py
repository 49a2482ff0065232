r"""What the JSON lines of a stream have in common, learned from one of them: all but the values.

A line in its wrapper is a row of *literals* (keys, punctuation, quotes) with *slots* between them:
what stands in a string, or a number, ``true``, ``false``, ``null``. Each literal is found by one of
its backslashes, which are counted along the line, so all lines are compared with the template at
once, column by column. A line that has every literal in its place, no backslash elsewhere and
scalars in its slots is JSON, because the first one was; then its messages, times and own fields
are cut out by position.
"""

from typing import Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct

from logship.parse import known, timestamps
from logship.parse.columns import Columns
from logship.parse.wrapped import (
    HEAD,
    LITERAL_MAX,
    Mask,
    Wrapped,
    block,
    filled,
    is_even,
    pieces,
    rows_of,
    same,
)
from model.samples import Ints

_SCALARS: Final = msgspec.json.Decoder(list[float | bool | None])
_FAILURES: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


class Place(NamedTuple):
    """A position in any line: so many characters from its nth backslash (the 0th is its start)."""

    anchor: int
    distance: int

    def of(self, places: Ints) -> Ints:
        """Return the position in each of n lines, whose backslashes ``Wrapped.places`` gave."""
        found: Ints = places[:, self.anchor] + self.distance
        return found


class Slot(Struct, frozen=True):
    """Where a value is; a text's place is between its quotes."""

    start: Place
    end: Place
    is_text: bool

    def pieces(self, lines: Wrapped, places: Ints) -> list[bytes]:
        """Return the values of n lines."""
        return pieces(lines.data, self.start.of(places), self.end.of(places))


class Run(Struct, frozen=True):
    """Pairs that follow each other, from the first key to behind the last value."""

    start: Place
    end: Place

    def pieces(self, lines: Wrapped, places: Ints, opening: bytes, ending: bytes) -> list[bytes]:
        """Return the pairs of n lines as JSON, one character before and at most one behind each."""
        starts, ends = self.start.of(places), self.end.of(places)
        lengths = ends - starts
        if not is_even(lengths):
            together = (ending + b"\0" + opening).join(pieces(lines.data, starts, ends))
            return _unescaped([opening + together + ending])
        chars = filled(lines.data, starts - 1, lengths + 1 + len(ending))
        chars[:, 0] = ord(opening)
        if ending:
            chars[np.arange(len(chars)), lengths + 1] = ord(ending)
        # all rows have as many quotes, so all become shorter by as many backslashes
        unescaped = chars.tobytes().translate(None, b"\\")
        return rows_of(np.frombuffer(unescaped, dtype=np.uint8).reshape(len(chars), -1))


class Template(Struct, frozen=True, eq=False):
    """What was learned.

    Attributes:
        count: Backslashes of a line.
        literals: Texts and their places.
        slots: All values but texts.
        known: Names and slots of time, level, message and trace; None where the line has none.
        own: The other pairs.
    """

    count: int
    literals: tuple[tuple[Place, bytes], ...]
    slots: tuple[Slot, ...]
    known: tuple[tuple[str, Slot] | None, ...]
    own: tuple[Run, ...]

    def matches(self, lines: Wrapped, places: Ints) -> Mask:
        """Tell which of n lines have this form; all or none where their scalars are concerned."""
        fits = np.ones(len(places), dtype=np.bool_)
        for place, text in self.literals:
            fits &= same(lines.data, place.of(places), text)
        if self.slots and fits.any():
            rows = places[fits]
            scalars = b",".join([piece for slot in self.slots for piece in slot.pieces(lines, rows)])  # fmt: skip
            try:
                sound = b" " not in scalars and len(_SCALARS.decode(b"[" + scalars + b"]")) == len(rows) * len(self.slots)  # fmt: skip
            except _FAILURES:
                sound = False
            fits &= sound
        return fits

    def columns(self, lines: Wrapped, places: Ints) -> Columns:
        """Return the columns of n > 0 lines that match."""
        columns = Columns.empty(len(places))
        time, level, message, trace = self.known
        if message is not None:
            columns.message = message[1].pieces(lines, places)
        else:  # the whole line
            columns.message = _unescaped(pieces(lines.data, places[:, 0] + len(HEAD), places[:, -1]))  # fmt: skip
        if self.own:
            columns.fields = self._fields(lines, places)
        if level is not None:
            columns.levels = known.levels_of_bytes(level[1].pieces(lines, places))
        if time is not None:
            name, slot = time
            starts, ends = slot.start.of(places), slot.end.of(places)
            width = int(ends[0] - starts[0])
            even = 0 < width < LITERAL_MAX and (ends - starts == width).all()
            read = timestamps.same_form(block(lines.data, starts, width)) if even else None
            if read is not None:
                columns.times = read
            else:
                known.fill_times(columns, _decoded(slot.pieces(lines, places)), name, is_text=slot.is_text)  # fmt: skip
        if trace is not None:
            name, slot = trace
            starts, ends = slot.start.of(places), slot.end.of(places)
            even = (ends - starts == known.TRACE_CHARS).all()
            chars = block(lines.data, starts, known.TRACE_CHARS) if even else None
            if chars is None or not known.take_traces(columns, chars):
                known.fill_traces(columns, _decoded(slot.pieces(lines, places)), name, is_text=slot.is_text)  # fmt: skip
        return columns

    def _fields(self, lines: Wrapped, places: Ints) -> list[bytes]:
        parts = []
        for number, run in enumerate(self.own, 1):
            opening = b"{" if number == 1 else b","
            parts.append(run.pieces(lines, places, opening, b"}" if number == len(self.own) else b""))  # fmt: skip
        return parts[0] if len(parts) == 1 else list(map(b"".join, zip(*parts, strict=True)))


def _unescaped(texts: list[bytes]) -> list[bytes]:
    r"""Return texts, in which only quotes are escaped, as they are meant; NUL parts one from the next."""
    return b"\0".join(texts).translate(None, b"\\").split(b"\0")


def _decoded(texts: list[bytes]) -> list[str]:
    return b"\0".join(texts).decode().split("\0")
