"""The records' own fields, of many records at once: only the field asked for is taken out of the JSON."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from typing import Any

import msgspec
import numpy as np
import orjson

from storage.logdb.document import own_texts
from storage.logdb.frames import Index
from storage.logquery.nodes import OWN_FIELDS

Texts = tuple[str, ...]
_NONE: Texts = ()


def own_values(rows: Sequence[bytes], field: str) -> tuple[list[Texts], Index]:
    """Return some lists of values, as text, and for each record which of the lists is its own.

    Args:
        rows: The JSON objects.
        field: Full name, ``fields.<dotted path>``. What its values are: see ``document.own_texts``.
    """
    parts = tuple(field.removeprefix(OWN_FIELDS).split("."))
    objects = _objects(rows, parts)
    if len(parts) == 1 and objects:
        raws = [bytes(one.whole) for one in objects]
        places = {raw: place for place, raw in enumerate(dict.fromkeys(raws))}
        texts = [_texts(raw) for raw in places]
        if None not in texts:
            which = np.fromiter(map(places.__getitem__, raws), dtype=np.intp, count=len(raws))
            return [text or () for text in texts], which
    found = _values(rows, parts)
    known: dict[Texts, int] = {}
    numbers = [
        known.setdefault(tuple(own_texts(row, (field,)).get(field, ())) if one is None else one, len(known))
        for row, one in zip(rows, found, strict=True)
    ]  # fmt: skip
    return list(known), np.array(numbers, dtype=np.intp)


def _objects(rows: Sequence[bytes], parts: tuple[str, ...]) -> list[Any]:
    """Return what was decoded of each record, nothing if one of them is no object."""
    try:
        objects: list[Any] = _decoder(parts).decode(b"[" + b",".join(rows) + b"]")
    except ValueError:
        return []
    return objects if len(objects) == len(rows) else []


def _values(rows: Sequence[bytes], parts: tuple[str, ...]) -> list[Texts | None]:
    """Return the values below a path; None for records that have to be read as a whole (lists, no object)."""
    objects = _objects(rows, parts)
    if not objects:
        return [None] * len(rows)
    known: dict[bytes, Texts | None] = {}
    found: list[Texts | None] = []
    for one in objects:
        raw = bytes(one.whole)
        if raw not in known:
            known[raw] = _texts(raw)
        found.append(known[raw])
    for number in range(1, len(parts)):  # a.b may be the key "a.b", or b of the object a
        inner = [(row, bytes(getattr(one, f"part{number}"))) for row, one in enumerate(objects)]
        nested = [(row, raw) for row, raw in inner if raw[:1] == b"{"]
        below = _values([raw for _, raw in nested], parts[number:]) if nested else []
        for (row, _), texts in zip(nested, below, strict=True):
            before = found[row]
            found[row] = None if texts is None or before is None else before + texts
        for row, raw in inner:
            if raw[:1] == b"[":
                found[row] = None
    return found


def _texts(raw: bytes) -> Texts | None:
    """Return the value that some JSON is as text; None for a list."""
    first = raw[:1]
    if first == b'"':
        return (orjson.loads(raw) if b"\\" in raw else raw[1:-1].decode("utf-8", "replace"),)
    if first == b"[":
        return None
    return _NONE if first in (b"", b"{") or raw == b"null" else (raw.decode(),)


@lru_cache(maxsize=64)
def _decoder(parts: tuple[str, ...]) -> Any:
    """Return a decoder that takes ``whole`` and each shorter beginning of a dotted name out of objects."""
    names = [(f"part{number}", ".".join(parts[:number])) for number, _ in zip(count(1), parts[1:])]
    fields = [
        (name, msgspec.Raw, msgspec.field(default=msgspec.Raw(), name=key))
        for name, key in [("whole", ".".join(parts)), *names]
    ]
    return msgspec.json.Decoder(list[msgspec.defstruct("Found", fields, gc=False)])  # type: ignore[misc]  # made here
