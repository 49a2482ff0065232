"""Own fields after redaction: still JSON; and those of them that the configuration declares as numbers."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson

from model.samples import Floats, Ints

# a mark where JSON has a number, which a mark is not
_BARE: Final = re.compile(rb"(?<=[:\[,\s])(\[REDACTED:[\w\-]+\])(?=[,}\]\s])")


def mend(buf: bytes, starts: Ints, ends: Ints, rows: Sequence[int]) -> bytes:
    """Return a buffer in which the objects at these rows are JSON; ``starts`` and ``ends`` move to where they are.

    A pattern of the operator's may have taken a quote or a brace with it. What cannot be made an
    object again is kept as one text.
    """
    added: list[bytes] = []
    at = len(buf)
    for row in rows:
        text = buf[starts[row] : ends[row]]
        if _is_object(text):
            continue
        mended = _BARE.sub(rb'"\1"', text)
        if not _is_object(mended):
            mended = orjson.dumps({"text": text.decode("utf-8", "replace")})
        added.append(mended)
        starts[row], ends[row] = at + 1, at + 1 + len(mended)
        at += 1 + len(mended)
    return b"\0".join([buf, *added]) if added else buf


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(orjson.loads(text), dict) if text else True
    except orjson.JSONDecodeError:
        return False


def numbers(buf: bytes, starts: Ints, ends: Ints, names: Sequence[str]) -> dict[str, Floats]:
    """Return the values of own fields as float64, NaN where a record has no such number; names that no record has are left out.

    A name is a key, or a path of keys with dots between them. Digits in a text are a number too.
    """
    found: dict[str, Floats] = {}
    wanted = [name for name in names if name.rpartition(".")[2].encode() in buf]
    if not wanted:
        return found
    for row, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        if start == end:
            continue
        try:
            own = orjson.loads(buf[start:end])
        except orjson.JSONDecodeError:
            continue  # nested too deep: it stands among the fields
        for name in wanted:
            value = number(at_path(own, name))
            if value is not None:
                if name not in found:
                    found[name] = np.full(len(starts), np.nan)
                found[name][row] = value
    return found


def at_path(own: Any, name: str) -> Any:
    """Return an own field by its key, or by a path with dots; None if there is none."""
    if not isinstance(own, Mapping):
        return None
    if name in own:
        return own[name]
    head, dot, rest = name.partition(".")
    return at_path(own[head], rest) if dot and head in own else None


def number(value: Any) -> float | None:
    """Return a finite number, None for anything else."""
    if isinstance(value, bool):
        return None
    try:
        read = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return read if math.isfinite(read) else None
