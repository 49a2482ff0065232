"""Label sets as JSON objects, made a column at a time."""

import re
from typing import Final

import numpy as np
import orjson

from model.labels import LabelTable

_REMEMBERED: Final = 5_000  # rows, some hundred bytes each, for as long as the table is
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def json_text(text: str) -> bytes:
    """Return a string as JSON; lone surrogates (bytes that were no UTF-8) become U+FFFD, as in Go."""
    try:
        return orjson.dumps(text)
    except TypeError:
        return orjson.dumps(_SURROGATE.sub("\ufffd", text))


def label_objects(table: LabelTable) -> list[bytes]:
    """Return each row's labels as a JSON object, names in order; not to be written to."""
    if table.size > _REMEMBERED:
        return _label_objects(table)
    return table.once("json", lambda: _label_objects(table))


def _label_objects(table: LabelTable) -> list[bytes]:
    if not table.columns:
        return [b"{}"] * table.size
    pieces = []
    for name in sorted(table.columns):
        column = table.columns[name]
        head = json_text(name) + b":"
        used, inverse = np.unique(column.codes, return_inverse=True)
        texts = [head + json_text(column.values[c]) + b"," if c else b"" for c in used.tolist()]
        pieces.append(map(texts.__getitem__, inverse.reshape(-1).tolist()))
    rows = map(b"".join, zip(*pieces, strict=True))
    return [b"{" + row[:-1] + b"}" for row in rows]
