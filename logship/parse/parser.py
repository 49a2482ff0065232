"""One stream's parser: whole lines in, batches out, and where the next read starts.

The only state is what was learned of the stream's shape, which never changes a result. So a
position in the file is all a restart needs.
"""

from typing import Final, Literal

from msgspec import Struct

from logship.parse import lines as unwrap
from logship.parse import text_lines
from logship.parse.batch import Origin, Tally, build
from logship.parse.columns import Columns
from logship.parse.join import Records, join
from logship.parse.json_lines import JsonLines
from logship.parse.levels import LevelFinder
from logship.parse.lines import Lines, Unwrap
from logship.parse.wrapped_json import WrappedJson
from logship.redact import Redactor
from model.log import Flag, LogBatch

Format = Literal["auto", "json", "logfmt", "plain"]
Wrapping = Literal["auto", "json-file", "cri", "none"]


_UNWRAP: Final[dict[str, Unwrap]] = {"json-file": unwrap.json_file, "cri": unwrap.cri}


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
    ) -> None:
        self._redactor = redactor
        self._format = format
        self._multiline = multiline
        self._json = JsonLines()
        self._levels = LevelFinder()
        self._unsettled = wrapping == "auto"  # until the first line is seen
        self._settle(_UNWRAP.get(wrapping))

    def _settle(self, how: Unwrap | None) -> None:
        self.unwrap = how
        """Takes lines out of what the runtime wrapped them in; None where it did not."""
        templates = how is unwrap.json_file and self._format != "plain"
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
        read = self._wrapped_json.read(data, start) if self._wrapped_json is not None else None
        if read is not None:
            records, columns = read
            batches, tally = build(records, columns, origin, self._redactor, read_ns)
            return Parsed(batches, records.end, tally)
        split = self.unwrap or unwrap.plain
        return self.lines(split(data, start), origin, read_ns, closing=closing, final=final)

    def lines(
        self, lines: Lines, origin: Origin, read_ns: int, *, closing: bool, final: bool = False
    ) -> Parsed:
        """Parse lines that are unwrapped already (from Docker's API, or one that was cut)."""
        records = join(lines, self._levels, multiline=self._multiline, closing=closing, final=final)
        if not records.texts:
            return Parsed([], records.end, Tally())
        try:
            columns = self._understand(records)
        except Exception:  # a line that our own code cannot stand is shipped as it is
            columns = Columns.empty(len(records.texts))
            columns.message = [text.encode("utf-8", "replace") for text in records.texts]
            columns.unparsed = list(range(len(records.texts)))
        batches, tally = build(records, columns, origin, self._redactor, read_ns)
        return Parsed(batches, records.end, tally)

    def _understand(self, records: Records) -> Columns:
        texts = records.texts
        if self._format == "plain":
            return self._plain(records)
        if records.levels is None and not records.sizes:  # every line starts with a brace
            return self._json.decode(texts)
        json_rows = [row for row, text in enumerate(texts) if text[:1] == "{" and row not in records.sizes]  # fmt: skip
        pairs = list(map(text_lines.looks_logfmt, texts))
        if not json_rows and not any(pairs):  # mostly so, where anything is plain
            return self._plain(records)
        rows: dict[str, list[int]] = {"json": json_rows, "logfmt": [], "plain": []}
        is_json = set(json_rows)
        for row in range(len(texts)):
            if row not in is_json:
                rows["logfmt" if pairs[row] and not records.flags.get(row) else "plain"].append(row)
        if len(rows["plain"]) == len(texts):
            return self._plain(records)
        columns = Columns.empty(len(texts))
        for kind, decode in (
            ("json", self._json.decode),
            ("logfmt", text_lines.logfmt),
            ("plain", text_lines.plain),
        ):
            if rows[kind]:
                columns.put(decode([texts[row] for row in rows[kind]]), rows[kind])
        _trace_levels(columns, records)
        return columns

    def _plain(self, records: Records) -> Columns:
        columns = text_lines.plain(records.texts, records.levels)
        _trace_levels(columns, records)
        return columns


def _trace_levels(columns: Columns, records: Records) -> None:
    """A joined trace whose first line names no level is an error."""
    for row, bits in records.flags.items():
        if bits & Flag.MULTILINE and not columns.levels[row]:
            columns.levels[row] = text_lines.trace_level(columns.message[row])
