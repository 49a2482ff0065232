"""The answers of queries as the JSON of Prometheus's API: arrays to bytes in bulk."""

from collections.abc import Iterator
from itertools import repeat
from typing import Any, TypeVar

import numpy as np
import orjson
from msgspec.structs import replace

from model.samples import is_no_sample
from promql.result import Matrix, Scalar, String, Vector
from promql.text import format_float
from web.api.label_text import json_text, label_objects
from web.api.matrix import histogram_texts, matrix
from web.api.numbers import go_floats, go_number, timestamps

SeriesT = TypeVar("SeriesT", Vector, Matrix)


def value(
    result: Scalar | String | Vector | Matrix, limit: int
) -> tuple[str, Iterator[bytes], bool]:
    """Return a query's answer.

    Args:
        result: What the engine gave.
        limit: Most series, 0 for all.

    Returns:
        ``(resultType, pieces of JSON, whether series were cut off)``.
    """
    if isinstance(result, Scalar):
        text = scalar(int(result.ts_ms[0]), float(result.values[0]))
        return "scalar", iter((text,)), False
    if isinstance(result, String):
        return "string", iter((string(result.ts_ms, result.value),)), False
    cut = 0 < limit < result.labels.size
    if isinstance(result, Vector):
        return "vector", iter((vector(_first(result, limit) if cut else result),)), cut
    return "matrix", matrix(_first(result, limit) if cut else result), cut


def _first(result: SeriesT, limit: int) -> SeriesT:
    """Return the first series of an answer."""
    rows = np.arange(limit)
    changed: dict[str, Any] = {
        "labels": result.labels.take(rows),
        "values": result.values[rows],
        "hist": None if result.hist is None else result.hist.take(rows),
    }
    if np.ndim(result.ts_ms) == 2:  # times of each series' own
        changed["ts_ms"] = np.asarray(result.ts_ms)[rows]
    return replace(result, **changed)


def vector(result: Vector) -> bytes:
    """Return an instant vector; rows that have neither a float nor a histogram are left out."""
    labels, values = result.labels, result.values
    index = None if result.hist is None else result.hist.index[:, 0]
    present = ~is_no_sample(values)
    if index is not None:
        present |= index >= 0
    if not present.all():
        rows = np.flatnonzero(present)
        labels, values = labels.take(rows), values[rows]
        index = None if index is None else index[rows]
    stamp = timestamps(np.array([result.ts_ms], dtype=np.int64))[0]
    heads, numbers = repeat(b',"value":[' + stamp + b',"'), go_floats(values)
    tails = list(map(b"".join, zip(heads, numbers, repeat(b'"]}'), strict=False)))
    if result.hist is not None and index is not None:
        at = np.flatnonzero(index >= 0)
        texts = histogram_texts(result.hist.pool, index[at])
        for row, text in zip(at.tolist(), texts, strict=True):
            tails[row] = b',"histogram":[' + stamp + b"," + text + b"]}"
    pieces = zip(repeat(b'{"metric":'), label_objects(labels), tails, strict=False)
    return b"[" + b",".join(map(b"".join, pieces)) + b"]"


def scalar(ts_ms: int, value: float) -> bytes:
    """Return a scalar: ``[t,"v"]``; unlike others it never has an exponent (promql/value.go)."""
    return b"[" + _seconds(ts_ms) + b',"' + format_float(value).encode() + b'"]'


def string(ts_ms: int, value: str) -> bytes:
    """Return a string result: ``[t,"text"]``."""
    return b"[" + _seconds(ts_ms) + b"," + json_text(value) + b"]"


def _seconds(ts_ms: int) -> bytes:
    return orjson.dumps(go_number(ts_ms / 1000))
