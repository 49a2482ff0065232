"""JSON log lines, in bulk where the lines of a stream have one shape, one by one where not.

A stream's *shape* is the keys of its lines in order. As long as it holds, a run of lines is
decoded into raw values in one call and taken apart column by column; values are spliced into
the record's own fields as they stood. A line of another shape sends its run down the slow way,
and its shape is tried next.
"""

import functools
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Any, Final

import msgspec

from logship.parse import keys, known, timestamps
from logship.parse.columns import Columns
from logship.parse.levels import BY_JSON, of_text
from logship.parse.lines import object_breaks

_RAW: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT: Final = msgspec.json.Decoder(str)
_ENCODE: Final = msgspec.json.encode
_FAILURES: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
SHAPE_KEYS_MAX: Final = 64


class Shape:
    """The keys of a stream's lines, compiled into a decoder and a template.

    ``texts`` names the keys whose values are strings where it matters (time, level, message, trace).
    """

    def __init__(self, names: tuple[str, ...], texts: frozenset[str]) -> None:
        self.names = names
        self.texts = texts
        kinds = [str if name in texts else msgspec.Raw for name in names]
        fields = [(f"f{n}", kind) for n, kind in enumerate(kinds)]
        rename = {f"f{n}": name for n, name in enumerate(names)}
        line = msgspec.defstruct(
            "Line", fields, rename=rename, forbid_unknown_fields=True, gc=False
        )
        self._decoder = msgspec.json.Decoder(line)
        self._columns = [attrgetter(name) for name, _ in fields]
        self._time, self._level, self._message, self._trace = (
            self._index(names) for names in keys.KNOWN
        )
        taken = {self._time, self._level, self._message, self._trace}
        self._own = [n for n in range(len(names)) if n not in taken]
        pairs = [_ENCODE(names[n]) + b":" for n in self._own]
        self._pairs = [(b"," if n else b"{") + pair for n, pair in enumerate(pairs)]

    def _index(self, names: tuple[str, ...]) -> int:
        name = keys.find(names, self.names)
        return self.names.index(name) if name else -1

    def decode(self, texts: Sequence[str], document: bytes) -> Columns | None:
        """Take lines apart, or return None if one of them has another shape; ``document`` is all of them."""
        try:
            lines = self._decoder.decode_lines(document)
        except _FAILURES:
            return None
        if len(lines) != len(texts):
            return None
        # by column: a tuple per line would keep the garbage collector busy
        values = [list(map(get, lines)) for get in self._columns]
        columns = Columns.empty(len(texts))
        columns.message = list(map(str.encode, self._strings(values, self._message) or texts))
        if self._own:
            pieces: list[Iterable[Any]] = []
            for pair, n in zip(self._pairs, self._own, strict=True):
                pieces += (repeat(pair), values[n])
            columns.fields = list(map(b"".join, zip(*pieces, repeat(b"}"), strict=False)))
        if self._level >= 0:
            columns.levels = known.levels(self._strings(values, self._level))
        for index, fill in ((self._time, known.fill_times), (self._trace, known.fill_traces)):
            if index >= 0:
                name = self.names[index]
                if name not in self.texts and any(bytes(raw)[:1] == b'"' for raw in values[index]):
                    return (
                        None  # some are strings, some are not: what is kept would lose its quotes
                    )
                fill(columns, self._strings(values, index), name, is_text=name in self.texts)
        return columns

    def _strings(self, values: Sequence[Sequence[Any]], index: int) -> Sequence[str]:
        """Return a column as texts: strings unescaped, anything else as it is written."""
        if index < 0:
            return []
        if self.names[index] in self.texts:
            return values[index]
        return [_text(bytes(value)).decode("utf-8", "replace") for value in values[index]]


@functools.lru_cache(maxsize=512)
def shape_of(names: tuple[str, ...], texts: frozenset[str]) -> Shape | None:
    """Return a shape, the same for all streams that have it; None for keys no field can be named after."""
    try:
        return Shape(names, texts)
    except (ValueError, TypeError):
        return None


def _learn(text: str) -> Shape | None:
    """Return the shape of a line."""
    try:
        values = _RAW.decode(text)
    except _FAILURES:
        return None
    if len(values) > SHAPE_KEYS_MAX:
        return None
    found = {keys.find(names, values) for names in keys.KNOWN} - {""}
    return shape_of(tuple(values), frozenset(n for n in found if bytes(values[n])[:1] == b'"'))


def _text(value: bytes) -> bytes:
    if value[:1] != b'"':
        return value
    try:
        return _TEXT.decode(value).encode()
    except _FAILURES:
        return value[1:-1]


class JsonLines:
    """Takes the JSON lines of one stream apart, learning their shape."""

    def __init__(self) -> None:
        self._shape: Shape | None = None

    def decode(self, texts: Sequence[str]) -> Columns:
        """Return the columns of lines that each start with ``{``; those that are no JSON stand whole in ``message``."""
        document = ("\n".join(texts) + "\n").encode("utf-8", "replace")
        breaks = object_breaks(document)
        if breaks is not None and len(breaks) == len(texts):
            columns = self._shape.decode(texts, document) if self._shape is not None else None
            if columns is None:
                self._shape = _learn(texts[0])
                columns = self._shape.decode(texts, document) if self._shape is not None else None
            if columns is not None:
                return columns
        columns = Columns.empty(len(texts))
        for row, text in enumerate(texts):
            try:
                values = _RAW.decode(text)
            except _FAILURES:
                columns.message[row] = text.encode("utf-8", "replace")
                columns.unparsed.append(row)
                continue
            _one(columns, row, text, values)
        return columns


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
        raw = bytes(values[name])
        trace = raw.strip(b'"').decode("utf-8", "replace")
        if known.is_trace(trace):
            columns.traces[row] = trace
        if row in columns.traces or raw in (b"null", b'""'):
            del values[name]
    if values:
        pairs = (_ENCODE(key) + b":" + bytes(value) for key, value in values.items())
        columns.fields[row] = b"{" + b",".join(pairs) + b"}"
