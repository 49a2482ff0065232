"""One stream's parser: whole lines in, batches out, and where the next read starts.

The only state is what was learned of the stream's shape, which never changes a result. So a
position in the file is all a restart needs.
"""

from collections.abc import Callable, Sequence
from string import ascii_letters
from typing import Final, Literal

import numpy as np
from msgspec import Struct

from logship.parse import lines as unwrap
from logship.parse import text_lines
from logship.parse.batch import Origin, Tally, build
from logship.parse.columns import Columns
from logship.parse.cut import some
from logship.parse.detect import TextLines
from logship.parse.formats import Format
from logship.parse.join import Records, join
from logship.parse.json_lines import JsonLines
from logship.parse.levels import LevelFinder
from logship.parse.lines import Lines, Unwrap
from logship.parse.wrapped import Wrapped
from logship.parse.wrapped_json import WrappedJson
from logship.parse.wrapped_lines import WrappedLines
from logship.redact import Redactor
from model.log import Flag, LogBatch

Wrapping = Literal["auto", "json-file", "cri", "none"]


_UNWRAP: Final[dict[str, Unwrap]] = {"json-file": unwrap.json_file, "cri": unwrap.cri}


_BRACE = ord("{")
_NAME_START = np.zeros(256, dtype=np.bool_)
_NAME_START[[ord(char) for char in f"{ascii_letters}_@"]] = True


class Parsed(Struct, frozen=True):
    """What a read came to.

    Attributes:
        batches: Complete records; all end at ``end``. May be empty.
        end: Offset at which the next read starts; where the read started if nothing was complete.
        tally: Counts of what parsing met.
    """

    batches: list[LogBatch]
    end: int
    tally: Tally


class Parser:
    """Parses one stream."""

    def __init__(
        self,
        redactor: Redactor | None,
        *,
        wrapping: Wrapping = "none",
        format: Format = "auto",  # noqa: A002  # the word of the container label
        multiline: bool = True,
        typed: Sequence[str] = (),
    ) -> None:
        self._redactor = redactor
        self._typed = tuple(typed)  # own fields that are numbers
        self._format = format
        self._multiline = multiline
        self._json = JsonLines()
        self._text = TextLines(format if format in ("access", "klog", "pattern") else "auto")
        self._levels = LevelFinder()
        self._unsettled = wrapping == "auto"  # until the first line is seen
        self._settle(_UNWRAP.get(wrapping))

    def _settle(self, how: Unwrap | None) -> None:
        self.unwrap = how
        """Takes lines out of what the runtime wrapped them in; None where it did not."""
        templates = how is unwrap.json_file and self._format in ("auto", "json")
        self._wrapped_json = WrappedJson(self._json) if templates else None

    def parse(self, data: bytes, start: int, origin: Origin, read_ns: int, *, closing: bool, final: bool = False) -> Parsed:  # fmt: skip
        """Parse whole lines read at an offset.

        Args:
            data: Ends in a newline, or is the last of a closed file.
            start: Where ``data`` starts in its source.
            origin: Whose lines these are.
            read_ns: When they were read.
            closing: Nothing has followed for so long that open traces are complete.
            final: Nothing will ever follow.
        """
        if not data:
            return Parsed([], start, Tally())
        if self._unsettled:
            self._unsettled = False
            self._settle(unwrap.detect(data))
        split = self.unwrap or unwrap.plain
        wrapped = Wrapped.find(data) if self.unwrap is unwrap.json_file else None
        if wrapped is None:
            return self.lines(split(data, start), origin, read_ns, closing=closing, final=final)
        end = start + len(data)
        read = self._wrapped_json.read(wrapped, start, end) if self._wrapped_json else None
        if read is not None:
            records, columns = read
            batches, tally = build(records, columns, origin, self._redactor, read_ns, self._typed)
            return Parsed(batches, records.end, tally)
        lines = WrappedLines.of(wrapped, start, end) or split(data, start)
        return self.lines(lines, origin, read_ns, closing=closing, final=final)

    def lines(
        self,
        lines: Lines | WrappedLines,
        origin: Origin,
        read_ns: int,
        *,
        closing: bool,
        final: bool = False,
    ) -> Parsed:
        """Parse lines that are unwrapped already (from Docker's API, or one that was cut)."""
        records = join(lines, multiline=self._multiline, closing=closing, final=final)
        if not len(records.texts):
            return Parsed([], records.end, Tally())
        try:
            columns = self._understand(records, read_ns)
        except Exception:  # a line that our own code cannot stand is shipped as it is
            columns = Columns.empty(len(records.texts))
            columns.message = [text.encode("utf-8", "replace") for text in records.texts]
            columns.unparsed = list(range(len(records.texts)))
        batches, tally = build(records, columns, origin, self._redactor, read_ns, self._typed)
        return Parsed(batches, records.end, tally)

    def _understand(self, records: Records, read_ns: int) -> Columns:
        texts = records.texts
        if self._format == "plain":
            columns = text_lines.plain(list(texts), self._levels, read_ns)
        elif records.structured and not records.sizes and self._format in ("auto", "json"):
            return self._json.decode(list(texts))
        else:
            columns = self._mixed(records, self._kinds(records), read_ns)
        # a joined trace whose first line names no level is an error
        for row, bits in records.flags.items():
            if bits & Flag.MULTILINE and not columns.levels[row]:
                columns.levels[row] = text_lines.trace_level(columns.message[row])
        return columns

    def _kinds(self, records: Records) -> dict[str, list[int]]:
        """Return which rows are JSON and which logfmt, if any; the others are text."""
        texts, form = records.texts, self._format
        firsts = records.firsts
        assert firsts is not None  # join gives it
        kinds: dict[str, list[int]] = {}
        if form in ("auto", "json"):
            rows = np.flatnonzero(firsts == _BRACE).tolist()
            # what was cut is no JSON any more
            kinds["json"] = (
                [row for row in rows if row not in records.sizes] if records.sizes else rows
            )
        if form == "logfmt":
            kinds["logfmt"] = list(range(len(texts)))
        elif form == "auto":
            looks = text_lines.looks_logfmt
            named = np.flatnonzero(_NAME_START[firsts]).tolist()
            rows = [row for row, text in zip(named, some(texts, named), strict=True) if looks(text)]
            kinds["logfmt"] = [row for row in rows if row not in records.flags]
        return {kind: rows for kind, rows in kinds.items() if rows}

    def _mixed(self, records: Records, kinds: dict[str, list[int]], read_ns: int) -> Columns:
        texts = records.texts
        if not kinds:
            columns = self._text.decode(texts, read_ns)
            if self._format == "json":
                columns.unparsed = list(range(len(texts)))
            return columns
        decoders: dict[str, Callable[[list[str]], Columns]] = {
            "json": self._json.decode,
            "logfmt": lambda lines: text_lines.logfmt(lines, read_ns),
            "text": lambda lines: self._text.decode(lines, read_ns),
        }
        structured = {row for rows in kinds.values() for row in rows}
        kinds["text"] = [row for row in range(len(texts)) if row not in structured]
        columns = Columns.empty(len(texts))
        for kind, rows in kinds.items():
            if len(rows) == len(texts):
                return decoders[kind](list(texts))
            if rows:
                columns.put(decoders[kind](some(texts, rows)), rows)
        if self._format == "json":
            columns.unparsed = sorted({*columns.unparsed, *kinds["text"]})
        return columns
