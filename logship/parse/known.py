"""The values that a record is known by, taken from whole columns: level, time, trace id.

What is not understood stays among the record's own fields.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from logship.parse import keys, timestamps
from logship.parse.columns import Columns
from logship.parse.levels import BY_WORD, of_text

_ENCODE: Final = msgspec.json.encode
_HEX: Final = re.compile(r"[0-9a-f]*").fullmatch
_BY_BYTES: Final = {word.encode(): level for word, level in BY_WORD.items()}
TRACE_CHARS: Final = 32


def levels(texts: Sequence[str]) -> list[int]:
    """Return the levels of words."""
    try:
        return list(map(BY_WORD.__getitem__, texts))
    except KeyError:
        return list(map(of_text, texts))


def levels_of_bytes(words: Sequence[bytes]) -> list[int]:
    """Return the levels of words in UTF-8."""
    try:
        return list(map(_BY_BYTES.__getitem__, words))
    except KeyError:
        return [of_text(word.decode()) for word in words]


def is_trace(text: str) -> bool:
    """Tell whether a text is a W3C trace id."""
    return len(text) == TRACE_CHARS and _HEX(text) is not None and text != keys.ZERO_TRACE


def fill_times(columns: Columns, texts: Sequence[str], name: str, *, is_text: bool) -> None:
    """Read the times of all records; ``name`` is their key, ``is_text`` whether they are strings."""
    times = timestamps.column(texts)
    columns.times = times
    for row in np.flatnonzero(times < 0).tolist():
        _keep(columns, row, name, texts[row], is_text=is_text)


def fill_traces(columns: Columns, texts: Sequence[str], name: str, *, is_text: bool) -> None:
    """Take the trace ids of all records."""
    together = "".join(texts)
    if set(map(len, texts)) == {TRACE_CHARS} and together.isascii():
        chars = np.frombuffer(together.encode(), dtype=np.uint8).reshape(-1, TRACE_CHARS)
        if take_traces(columns, chars):
            return
    for row, text in enumerate(texts):
        if is_trace(text):
            columns.traces[row] = text
        else:
            _keep(columns, row, name, text, is_text=is_text)


def take_traces(columns: Columns, chars: npt.NDArray[np.uint8]) -> bool:
    """Take the trace ids of all records, given as characters, shape (n, 32); False if one of them is none."""
    digits = chars - np.uint8(ord("0")) <= 9  # what is below wraps around
    if not (digits | (chars - np.uint8(ord("a")) <= 5)).all():
        return False
    together = chars.tobytes().decode()
    if keys.ZERO_TRACE in together:
        return False
    columns.traces = {n: together[n * TRACE_CHARS : (n + 1) * TRACE_CHARS] for n in range(len(chars))}  # fmt: skip
    return True


def _keep(columns: Columns, row: int, name: str, text: str, *, is_text: bool) -> None:
    if text in ("", "null"):
        return
    pair = _ENCODE(name) + b":" + (_ENCODE(text) if is_text else text.encode())
    fields = columns.fields[row]
    columns.fields[row] = fields[:-1] + b"," + pair + b"}" if len(fields) > 2 else b"{" + pair + b"}"  # fmt: skip
