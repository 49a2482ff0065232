"""Plain and logfmt lines."""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from logship.parse import keys, timestamps
from logship.parse.columns import Columns
from logship.parse.levels import of_line, of_text
from model.log import Level

_PAIR: Final = re.compile(r'([A-Za-z_@][\w.@/\-]*)=("(?:[^"\\]|\\.)*"|[^\s"]*)(?:\s+|$)')
# a line that starts with two pairs
looks_logfmt: Final = re.compile(r'[A-Za-z_@][\w.@/\-]*=(?:"(?:[^"\\]|\\.)*"|[^\s"]*) +[A-Za-z_@][\w.@/\-]*=').match  # fmt: skip
_TRACE_ID: Final = re.compile(r"\btrace[._-]?[iI]d[=:]\"?([0-9a-f]{32})\b")
_HEX32: Final = re.compile(r"[0-9a-f]{32}").fullmatch


def plain(texts: Sequence[str], levels: Sequence[int] | None = None) -> Columns:
    """Return the columns of plain lines: the message is the line; ``levels`` if they are known already."""
    columns = Columns.empty(len(texts))
    columns.message = [text.encode("utf-8", "replace") for text in texts]
    columns.times = timestamps.column(texts)
    columns.levels = list(levels) if levels is not None else [of_line(text) for text in texts]
    for row, text in enumerate(texts):
        at = text.find("race")
        while at > 0:  # a match at each place costs less than a search
            found = _TRACE_ID.match(text, at - 1)
            if found:
                if found[1] != keys.ZERO_TRACE:
                    columns.traces[row] = found[1]
                break
            at = text.find("race", at + 1)
    return columns


def logfmt(texts: Sequence[str]) -> Columns:
    """Return the columns of ``key=value`` lines; what is no pair leaves the line plain."""
    columns = Columns.empty(len(texts))
    for row, text in enumerate(texts):
        pairs = _pairs(text)
        if not pairs:
            part = plain([text])
            columns.message[row] = part.message[0]
            columns.times[row], columns.levels[row] = part.times[0], part.levels[0]
            columns.unparsed.append(row)
            continue
        name = keys.find(keys.MESSAGE, pairs)
        columns.message[row] = (pairs.pop(name) if name else text).encode("utf-8", "replace")
        name = keys.find(keys.LEVEL, pairs)
        if name:
            columns.levels[row] = of_text(pairs.pop(name))
        name = keys.find(keys.TIME, pairs)
        if name:
            columns.times[row] = timestamps.scalar(pairs[name][:64])
            if columns.times[row] >= 0:
                del pairs[name]
        name = keys.find(keys.TRACE, pairs)
        if name and _HEX32(pairs[name]) and pairs[name] != keys.ZERO_TRACE:
            columns.traces[row] = pairs.pop(name)
        if pairs:
            columns.fields[row] = msgspec.json.encode(pairs)
    return columns


def _pairs(text: str) -> dict[str, str]:
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
                value = _unescape(value)
        pairs[name] = value
        at = found.end()
    return pairs


def _unescape(value: str) -> str:
    try:
        return msgspec.json.decode('"' + value + '"', type=str)
    except (msgspec.MsgspecError, UnicodeError):
        return value.replace('\\"', '"').replace("\\\\", "\\")


def trace_level(message: bytes) -> int:
    """Return the level of a joined trace whose first line names none."""
    return int(Level.FATAL if message.startswith((b"panic: ", b"fatal error: ")) else Level.ERROR)
