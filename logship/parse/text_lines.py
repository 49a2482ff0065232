"""Lines of text in no known layout, and logfmt."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from logship.parse import keys, other_forms, timestamps
from logship.parse.columns import Columns
from logship.parse.levels import LOUD_WORDS, WORDS, LevelFinder, of_line, of_text
from model.log import Level
from model.samples import Ints

_PAIR: Final = re.compile(r'([A-Za-z_@][\w.@/\-]*)=("(?:[^"\\]|\\.)*"|[^\s"]*)(?:\s+|$)')
# a line that starts with two pairs
looks_logfmt: Final = re.compile(r'[A-Za-z_@][\w.@/\-]*=(?:"(?:[^"\\]|\\.)*"|[^\s"]*) +[A-Za-z_@][\w.@/\-]*=').match  # fmt: skip
# without \b at its start, so that it is looked for by its first letters
_TRACE_ID: Final = re.compile(rb"trace[._-]?[iI]d[=:]\"?([0-9a-f]{32})\b")
_HEX32: Final = re.compile(r"[0-9a-f]{32}").fullmatch
_WORD: Final = re.compile(rb"\w")
# a level that stands alone before everything
_FIRST: Final = re.compile(rf"(?:\[({WORDS})\]:?|({LOUD_WORDS}):)\s+(?=\S)")
# what follows a time: the level, alone or in brackets
_LEVEL: Final = re.compile(rf"[\])]?\s*[|\-:]?\s*[\[(<|]?({WORDS})[\])>|]?:?(?:\s+[|\-:]\s|\s+)")


def encoded(texts: Sequence[str]) -> list[bytes]:
    """Return texts in UTF-8; halves of characters become question marks."""
    together = "\0".join(texts)
    raw = (together.encode() if together.isascii() else together.encode("utf-8", "replace")).split(b"\0")  # fmt: skip
    return raw if len(raw) == len(texts) else [text.encode("utf-8", "replace") for text in texts]


def plain(texts: Sequence[str], finder: LevelFinder, near_ns: int) -> Columns:
    """Return the columns of plain lines: the message is the line."""
    columns = Columns.empty(len(texts))
    columns.message = encoded(texts)
    columns.times = timestamps.column(texts, near_ns)
    columns.levels = finder.levels(texts)
    fill_traces(columns)
    return columns


def loose(texts: Sequence[str], finder: LevelFinder, near_ns: int) -> Columns:
    """Return the columns of lines of which nobody knows the layout: where time and level lead, the message is the rest."""
    columns = plain(texts, finder, near_ns)
    levels = np.array(columns.levels, dtype=np.uint8)
    rows = np.flatnonzero(levels).tolist()  # what names no level has none behind its time
    widths = time_widths([texts[row] for row in rows])
    for row, width in zip(rows, widths, strict=True):
        found = _LEVEL.match(texts[row], width) if width else _FIRST.match(texts[row])
        if found:
            columns.message[row] = texts[row][found.end() :].encode("utf-8", "replace")
            columns.levels[row] = of_text(found[found.lastindex or 1])
    return columns


def time_widths(texts: Sequence[str]) -> list[int]:
    """Return how many characters the time at the start of each text takes, 0 where there is none."""
    return list(map(time_width, texts))


def time_width(text: str) -> int:
    """Return how many characters the time at the start of a text takes, 0 if there is none."""
    found = timestamps.leading(text) or other_forms.find(text)
    return found.end() if found else 0


def fill_traces(columns: Columns) -> None:
    """Take the W3C trace ids that messages name."""
    together = b"\0".join(columns.message)
    ends: Ints | None = None
    for found in _TRACE_ID.finditer(together):
        at = found.start()
        if at and _WORD.match(together, at - 1):
            continue
        trace = found[1].decode()
        if trace == keys.ZERO_TRACE:
            continue
        if ends is None:
            lengths = np.fromiter(map(len, columns.message), dtype=np.int64, count=len(columns.message))  # fmt: skip
            ends = np.cumsum(lengths + 1)
        columns.traces.setdefault(int(np.searchsorted(ends, at, side="right")), trace)


def logfmt(texts: Sequence[str], near_ns: int) -> Columns:
    """Return the columns of ``key=value`` lines; what is no pair leaves the line plain."""
    columns = Columns.empty(len(texts))
    for row, text in enumerate(texts):
        pairs = pairs_of(text)
        if not pairs:
            columns.message[row] = text.encode("utf-8", "replace")
            columns.times[row], columns.levels[row] = timestamps.scalar(text, near_ns), of_line(text)  # fmt: skip
            columns.unparsed.append(row)
            continue
        name = keys.find(keys.MESSAGE, pairs)
        columns.message[row] = (pairs.pop(name) if name else text).encode("utf-8", "replace")
        name = keys.find(keys.LEVEL, pairs)
        if name:
            columns.levels[row] = of_text(pairs.pop(name))
        name = keys.find(keys.TIME, pairs)
        if name:
            columns.times[row] = timestamps.scalar(pairs[name][:64], near_ns)
            if columns.times[row] >= 0:
                del pairs[name]
        name = keys.find(keys.TRACE, pairs)
        if name and _HEX32(pairs[name]) and pairs[name] != keys.ZERO_TRACE:
            columns.traces[row] = pairs.pop(name)
        if pairs:
            columns.fields[row] = fields_of(pairs)
    return columns


def fields_of(pairs: Mapping[str, object]) -> bytes:
    """Return pairs as JSON; halves of characters become question marks."""
    try:
        return msgspec.json.encode(pairs)
    except UnicodeEncodeError:
        return msgspec.json.encode({_whole(k): _whole(v) if isinstance(v, str) else v for k, v in pairs.items()})  # fmt: skip


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def pairs_of(text: str) -> dict[str, str]:
    """Return the pairs of a line that is nothing but pairs, else {}."""
    pairs: dict[str, str] = {}
    at = 0
    while at < len(text):
        found = _PAIR.match(text, at)
        if not found:
            return {}
        name, value = found.groups()
        if value[:1] == '"':
            value = value[1:-1]
            if "\\" in value:
                value = unescape(value)
        pairs[name] = value
        at = found.end()
    return pairs


def unescape(value: str) -> str:
    """Return a quoted text as it is meant."""
    try:
        return msgspec.json.decode('"' + value + '"', type=str)
    except (msgspec.MsgspecError, UnicodeError):
        return value.replace('\\"', '"').replace("\\\\", "\\")


def trace_level(message: bytes) -> int:
    """Return the level of a joined trace whose first line names none."""
    return int(Level.FATAL if message.startswith((b"panic: ", b"fatal error: ")) else Level.ERROR)
