"""The layouts of text lines: with a head before the message, access logs, klog; each tells which lines are of it."""

import re
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final, Protocol

import numpy as np

from logship.parse import cut_heads, text_lines, timestamps
from logship.parse.columns import Columns
from logship.parse.cut import Cut
from logship.parse.heads import NO_HEAD, Head, heads_of
from logship.parse.levels import LevelFinder
from logship.parse.wrapped import Mask
from model.log import Level

TIME_START: Final = frozenset("0123456789[(<")
_LEVEL: Final = itemgetter(0)
_FIELDS: Final = itemgetter(1)
_KLOG: Final = re.compile(r"([IWEFDV])(?=\d{4} \d\d:\d\d:\d\d\.\d+)\S+ \S+ +(\d+) ([^:\]\s]+):(\d+)\] ?(.*)", re.DOTALL)  # fmt: skip
_KLOG_LEVELS: Final = {"I": Level.INFO, "W": Level.WARN, "E": Level.ERROR, "F": Level.FATAL, "D": Level.DEBUG, "V": Level.DEBUG}  # fmt: skip
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"(?: |$)')
# common, combined, with the virtual host before it or anything behind it; nginx has the same
_ACCESS: Final = re.compile(
    r"(?:(?P<host>[\w.\-]+:\d+) )?(?P<client>[\w.:\-]+) \S+ (?P<user>\S+) \[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:[^\]]{8,20})\] "
    r'"(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?P<bytes>\d+|-)'
    r'(?: "(?P<referrer>(?:[^"\\]|\\.)*)" "(?P<user_agent>(?:[^"\\]|\\.)*)")?(?P<rest> [^\n]*)?$'
)  # fmt: skip
_REQUEST: Final = re.compile(r"([A-Z]+) (\S+)(?: HTTP/([\d.]+))?$")
# .NET's console logger, joined: "info: Category[0]" and the message, indented
_CONSOLE: Final = re.compile(r"(trce|dbug|info|warn|fail|crit): (\S.*?)\[(\d+)\]\n((?:      .*(?:\n|$)|   at .*(?:\n|$))+)$")  # fmt: skip
_CONSOLE_LEVELS: Final = {"trce": Level.TRACE, "dbug": Level.DEBUG, "info": Level.INFO, "warn": Level.WARN, "fail": Level.ERROR, "crit": Level.FATAL}  # fmt: skip


class Layout(Protocol):
    """Takes the lines of a stream apart."""

    timed: bool  # whether every line starts with a time that starts with a digit or a bracket

    def strength(self, text: str) -> int:
        """Tell how surely a line is of this layout; 0 if it is not."""
        ...

    def seen(self, texts: Sequence[str]) -> None:
        """Learn from the lines by which the layout was found."""
        ...

    def decode(self, texts: Sequence[str], finder: LevelFinder, near_ns: int) -> tuple[Columns, list[int]]:  # fmt: skip
        """Return the columns of lines, and the rows that are of another layout (they stand whole)."""
        ...


class Headed:
    """A time (or none), a head, a mark and the message."""

    def __init__(self, mark: str, nth: int = 1) -> None:
        self._mark = mark
        self._nth = nth  # the head ends with the mark's nth occurrence
        self._heads = heads_of(mark)
        self._cut_heads = cut_heads.CutHeads(self._heads)
        self.timed = False

    def seen(self, texts: Sequence[str]) -> None:
        """See ``Layout.seen``."""
        self.timed = all(text[:1] in TIME_START and text_lines.time_width(text) for text in texts)

    def strength(self, text: str) -> int:
        """See ``Layout.strength``; twice the words of the head, so that the longest head wins."""
        head, _ = self._cut(text, text_lines.time_width(text))
        return 0 if head is NO_HEAD else head.words + 100 * min(1, head.strength)

    def _cut(self, text: str, width: int) -> tuple[Head, str]:
        parts = text.split(self._mark, self._nth)
        if len(parts) <= self._nth:
            return NO_HEAD, text
        message = parts.pop().lstrip(" ") if self._mark[0] == ":" else parts.pop()
        head = self._heads[self._mark.join(parts)[width:]]
        return (head, message) if head.level >= 0 else (NO_HEAD, text)

    def by_position(self, texts: Cut, timed: Mask) -> tuple[Columns, list[int]] | None:
        """Return the columns of lines, and the rows they say nothing of; None if this cannot be done."""
        if self._nth > 1 or self._mark[0] == ":" or np.count_nonzero(timed) < timestamps.FEW:
            return None
        return cut_heads.read(texts, timed, self._mark.encode(), self._cut_heads)

    def decode(self, texts: Sequence[str], finder: LevelFinder, near_ns: int) -> tuple[Columns, list[int]]:  # fmt: skip
        """See ``Layout.decode``."""
        columns = Columns.empty(len(texts))
        columns.times, width = timestamps.leads(texts, near_ns)
        others: list[int] = []
        if width and self._nth == 1 and self._mark[0] != ":":
            # no tuple per line, which would keep the garbage collector busy
            mark, behind = self._mark, len(self._mark)
            places = [text.find(mark, width) for text in texts]
            pairs = zip(texts, places, strict=True)
            found = list(map(self._heads.__getitem__, [text[width:at] for text, at in pairs]))
            messages = [text[at + behind :] for text, at in zip(texts, places, strict=True)]
            levels = list(map(_LEVEL, found))
            if -1 in levels or -1 in places:
                others = [row for row, level in enumerate(levels) if level < 0 or places[row] < 0]
        else:
            widths = [width] * len(texts) if width else text_lines.time_widths(texts)
            both = [self._cut(text, w) for text, w in zip(texts, widths, strict=True)]
            found = [head for head, _ in both]
            messages = [message for _, message in both]
            levels = list(map(_LEVEL, found))
            others = [row for row, level in enumerate(levels) if level < 0]
        columns.fields = list(map(_FIELDS, found))
        columns.levels = levels
        if others:
            for row in others:
                messages[row], columns.fields[row] = texts[row], b""
            for row, level in zip(
                others, finder.levels([texts[row] for row in others]), strict=True
            ):
                levels[row] = level
        columns.message = text_lines.encoded(messages)
        fill_traces(columns, texts)
        return columns, others


def fill_traces(columns: Columns, texts: Sequence[str]) -> None:
    """Take the trace ids of messages and of heads, where Spring's sleuth and many MDC patterns write them."""
    text_lines.fill_traces(columns)
    seen = {bytes(fields) for fields in set(columns.fields) if b"race" in fields}
    if not seen:
        return
    for row, fields in enumerate(columns.fields):
        if fields in seen and row not in columns.traces:
            part = Columns.empty(1)
            part.message = [texts[row].split("\n", 1)[0].encode("utf-8", "replace")]
            text_lines.fill_traces(part)
            if part.traces:
                columns.traces[row] = part.traces[0]


class _ByLine:
    """A layout that is one pattern; its subclasses say what becomes of a match."""

    pattern: re.Pattern[str]
    timed = False

    def seen(self, texts: Sequence[str]) -> None:
        """See ``Layout.seen``: there is nothing to learn."""

    def strength(self, text: str) -> int:
        """See ``Layout.strength``."""
        return 1000 if self.pattern.match(text) else 0

    def decode(self, texts: Sequence[str], finder: LevelFinder, near_ns: int) -> tuple[Columns, list[int]]:  # fmt: skip
        """See ``Layout.decode``."""
        columns = Columns.empty(len(texts))
        columns.times = timestamps.column(texts, near_ns)
        others = []
        messages = list(texts)
        for row, text in enumerate(texts):
            found = self.pattern.match(text)
            if found is None:
                others.append(row)
            else:
                messages[row] = self._take(columns, row, found)
        for row, level in zip(others, finder.levels([texts[row] for row in others]), strict=True):
            columns.levels[row] = level
        columns.message = text_lines.encoded(messages)
        text_lines.fill_traces(columns)
        return columns, others

    def _take(self, columns: Columns, row: int, found: re.Match[str]) -> str:
        """Fill level and fields of a row; return the message."""
        raise NotImplementedError


class Access(_ByLine):
    """Common and combined access logs of Apache, nginx and others; 5xx is an error, 4xx a warning."""

    pattern = _ACCESS

    def _take(self, columns: Columns, row: int, found: re.Match[str]) -> str:
        fields: dict[str, Any] = {
            k: v for k, v in found.groupdict().items() if v not in (None, "-", "")
        }
        request, time = fields.pop("request", ""), fields.pop("time")
        del time  # read already
        status = fields["status"] = int(fields["status"])
        if "bytes" in fields:
            fields["bytes"] = int(fields["bytes"][:18])
        if "rest" in fields:
            fields["rest"] = fields["rest"].strip()
        parts = _REQUEST.match(request)
        if parts:
            fields |= {k: v for k, v in zip(("method", "path", "http_version"), parts.groups(), strict=True) if v}  # fmt: skip
        columns.fields[row] = text_lines.fields_of(fields)
        columns.levels[row] = int(Level.ERROR if status >= 500 else Level.WARN if status >= 400 else Level.INFO)  # fmt: skip
        return f"{request or '-'} {status}"


class Klog(_ByLine):
    """klog and glog, also klog's structured messages: ``"Started" node="a"``."""

    pattern = _KLOG

    def _take(self, columns: Columns, row: int, found: re.Match[str]) -> str:
        letter, thread, file, line, message = found.groups()
        fields: dict[str, Any] = {"pid": int(thread[:18]), "file": file, "line": int(line[:18])}
        quoted = _QUOTED.match(message)
        pairs = text_lines.pairs_of(message[quoted.end() :]) if quoted else {}
        if quoted and (pairs or quoted.end() == len(message)):
            message = text_lines.unescape(quoted[1])
            fields |= pairs
        columns.fields[row] = text_lines.fields_of(fields)
        columns.levels[row] = int(_KLOG_LEVELS[letter])
        return message


class Console(_ByLine):
    """.NET's console logger."""

    pattern = _CONSOLE

    def _take(self, columns: Columns, row: int, found: re.Match[str]) -> str:
        word, category, event, indented = found.groups()
        columns.fields[row] = text_lines.fields_of(
            {"logger": category, "event_id": int(event[:18])}
        )
        columns.levels[row] = int(_CONSOLE_LEVELS[word])
        return "\n".join([line.removeprefix("      ") for line in indented.split("\n")]).rstrip(
            "\n"
        )
