"""JSON log lines, in bulk where the lines of a stream have one shape, one by one where not.

A stream's *shape* is the keys of its lines in order. As long as it holds, a run of lines is
decoded into raw values in one call and taken apart column by column; values are spliced into
the record's own fields as they stood. A line of another shape sends its run down the slow way,
and its shape is tried next.
"""

import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec

from logship.parse import keys, timestamps
from logship.parse.columns import Columns
from logship.parse.levels import BY_JSON, of_text

_RAW: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT: Final = msgspec.json.Decoder(str)
_ENCODE: Final = msgspec.json.encode
_FAILURES: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
_HEX32: Final = re.compile(r"[0-9a-f]{32}").fullmatch
SHAPE_KEYS_MAX: Final = 64


class Shape:
    """The keys of a stream's lines, compiled into a decoder and a template."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        fields = [(f"f{n}", msgspec.Raw) for n in range(len(names))]
        rename = {f"f{n}": name for n, name in enumerate(names)}
        line = msgspec.defstruct(
            "Line", fields, rename=rename, forbid_unknown_fields=True, gc=False
        )
        self._decoder = msgspec.json.Decoder(list[line])  # type: ignore[valid-type]  # made at run time
        self._time, self._level, self._message, self._trace = (
            self._index(names) for names in (keys.TIME, keys.LEVEL, keys.MESSAGE, keys.TRACE)
        )
        self._time_name = self.names[self._time] if self._time >= 0 else ""
        known = {self._time, self._level, self._message, self._trace}
        self._own = [n for n in range(len(self.names)) if n not in known]
        own = b",".join(_ENCODE(self.names[n]).replace(b"%", b"%%") + b":%b" for n in self._own)
        self._template = b"{" + own + b"}" if own else b""

    def _index(self, names: tuple[str, ...]) -> int:
        name = keys.find(names, self.names)
        return self.names.index(name) if name else -1

    def decode(self, texts: Sequence[str]) -> Columns | None:
        """Take lines apart, or return None if one of them has another shape."""
        try:
            lines = self._decoder.decode("[" + ",".join(texts) + "]")
        except _FAILURES:
            return None
        if len(lines) != len(texts):
            return None
        values = list(zip(*map(msgspec.structs.astuple, lines), strict=True))
        size = len(texts)
        columns = Columns.empty(size)
        if self._message >= 0:
            columns.message = _texts(list(map(bytes, values[self._message])))
        else:
            columns.message = [text.encode() for text in texts]
        if self._own:
            template = self._template
            if len(self._own) == 1:
                columns.fields = [template % value for value in values[self._own[0]]]
            else:
                columns.fields = list(map(template.__mod__, zip(*itemgetter(*self._own)(values), strict=True)))  # fmt: skip
        if self._level >= 0:
            columns.levels = _levels(list(map(bytes, values[self._level])))
        if self._time >= 0:
            self._times(columns, list(map(bytes, values[self._time])))
        if self._trace >= 0:
            self._traces(columns, list(map(bytes, values[self._trace])))
        return columns

    def _times(self, columns: Columns, raw: list[bytes]) -> None:
        texts = [value[1:31].rstrip(b'"').decode("ascii", "replace") if value[:1] == b'"' else value[:30].decode() for value in raw]  # fmt: skip
        columns.times = timestamps.column(texts).tolist()
        for row, time in enumerate(columns.times):
            if time < 0 and raw[row] not in (b"null", b'""'):
                columns.fields[row] = _with(columns.fields[row], self._time_name, raw[row])

    def _traces(self, columns: Columns, raw: list[bytes]) -> None:
        name = self.names[self._trace]
        for row, value in enumerate(raw):
            text = value[1:-1].decode("ascii", "replace")
            if len(text) == 32 and _HEX32(text) and text != keys.ZERO_TRACE:
                columns.traces[row] = text
            elif value not in (b"null", b'""'):
                columns.fields[row] = _with(columns.fields[row], name, value)


def _levels(raw: list[bytes]) -> list[int]:
    try:
        return list(map(BY_JSON.__getitem__, raw))
    except KeyError:
        return [of_text(value.strip(b'"').decode("utf-8", "replace")) for value in raw]


def _texts(raw: list[bytes]) -> list[bytes]:
    """Return the text of JSON values: strings unescaped, anything else as it is written."""
    return [value[1:-1] if value[:1] == b'"' and b"\\" not in value else _text(value) for value in raw]  # fmt: skip


def _text(value: bytes) -> bytes:
    if value[:1] != b'"':
        return value
    try:
        return _TEXT.decode(value).encode()
    except _FAILURES:
        return value[1:-1]


def _with(fields: bytes, name: str, value: bytes) -> bytes:
    """Add one pair to an object given as bytes."""
    pair = _ENCODE(name) + b":" + value
    return fields[:-1] + b"," + pair + b"}" if len(fields) > 2 else b"{" + pair + b"}"


class JsonLines:
    """Takes the JSON lines of one stream apart, learning their shape."""

    def __init__(self) -> None:
        self._shape: Shape | None = None

    def decode(self, texts: Sequence[str]) -> Columns:
        """Return the columns of lines that each start with ``{``; those that are no JSON stand whole in ``message``."""
        if self._shape is not None:
            columns = self._shape.decode(texts)
            if columns is not None:
                return columns
        columns = Columns.empty(len(texts))
        shapes: dict[tuple[str, ...], int] = {}
        for row, text in enumerate(texts):
            try:
                values = _RAW.decode(text)
            except _FAILURES:
                columns.message[row] = text.encode("utf-8", "replace")
                columns.unparsed.append(row)
                continue
            names = tuple(values)
            _one(columns, row, text, values)
            shapes[names] = shapes.get(names, 0) + 1
        if shapes:
            self._learn(max(shapes, key=shapes.__getitem__))
        return columns

    def _learn(self, names: tuple[str, ...]) -> None:
        if len(names) > SHAPE_KEYS_MAX or (self._shape is not None and self._shape.names == names):
            return
        try:
            self._shape = Shape(names)
        except (ValueError, TypeError):  # keys that msgspec cannot name a field after
            self._shape = None


def _one(columns: Columns, row: int, text: str, values: dict[str, Any]) -> None:
    """Take one line apart."""
    name = keys.find(keys.MESSAGE, values)
    columns.message[row] = _text(bytes(values.pop(name))) if name else text.encode()
    name = keys.find(keys.LEVEL, values)
    if name:
        raw = bytes(values.pop(name))
        columns.levels[row] = BY_JSON.get(raw) or of_text(
            raw.strip(b'"').decode("utf-8", "replace")
        )
    name = keys.find(keys.TIME, values)
    if name:
        raw = bytes(values[name])
        columns.times[row] = timestamps.scalar(raw.strip(b'"').decode("utf-8", "replace")[:64])
        if columns.times[row] >= 0 or raw in (b"null", b'""'):
            del values[name]
    name = keys.find(keys.TRACE, values)
    if name:
        trace = bytes(values[name])[1:-1].decode("utf-8", "replace")
        if len(trace) == 32 and _HEX32(trace) and trace != keys.ZERO_TRACE:
            columns.traces[row] = trace
            del values[name]
    if values:
        pairs = (_ENCODE(key) + b":" + bytes(value) for key, value in values.items())
        columns.fields[row] = b"{" + b",".join(pairs) + b"}"


Decode = Callable[[Sequence[str]], Columns]
