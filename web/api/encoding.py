"""Label tables, vectors and matrices as the JSON of Prometheus's API: arrays to bytes in bulk."""

import re
from itertools import repeat
from typing import Final

import numpy as np
import numpy.typing as npt
import orjson

from model.labels import LabelTable
from model.samples import Floats, Ints, is_no_sample
from promql.result import Matrix, Scalar, String, Vector
from web.api.numbers import go_floats, timestamps

Objects = npt.NDArray[np.object_]
Indices = npt.NDArray[np.intp]

_SURROGATE = re.compile("[\ud800-\udfff]")
_CHUNK_POINTS: Final = 65_536  # points rendered at once; bounds the memory of a large answer


def json_text(text: str) -> bytes:
    """Return a string as JSON; lone surrogates (bytes that were no UTF-8) become U+FFFD, as in Go."""
    try:
        return orjson.dumps(text)
    except TypeError:
        return orjson.dumps(_SURROGATE.sub("\ufffd", text))


def value(result: Scalar | String | Vector | Matrix, limit: int) -> tuple[str, bytes, bool]:
    """Return a query's answer.

    Args:
        result: What the engine gave.
        limit: Most series, 0 for all.

    Returns:
        ``(resultType, JSON, whether series were cut off)``.
    """
    if isinstance(result, Scalar):
        return "scalar", scalar(int(result.ts_ms[0]), float(result.values[0])), False
    if isinstance(result, String):
        return "string", string(result.ts_ms, result.value), False
    cut = 0 < limit < result.labels.size
    rows = np.arange(limit if cut else result.labels.size)
    labels = result.labels.take(rows) if cut else result.labels
    values = result.values[rows] if cut else result.values
    if isinstance(result, Vector):
        return "vector", vector(labels, result.ts_ms, values), cut
    ts_ms = result.ts_ms[rows] if cut and result.ts_ms.ndim == 2 else result.ts_ms
    return "matrix", matrix(labels, ts_ms, values), cut


def label_objects(table: LabelTable) -> list[bytes]:
    """Return each row's labels as a JSON object, names in order."""
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


def vector(labels: LabelTable, ts_ms: int, values: Floats) -> bytes:
    """Return an instant vector; values have shape (series,), rows without a sample are left out."""
    present = ~is_no_sample(values)
    if not present.all():
        labels, values = labels.take(np.flatnonzero(present)), values[present]
    stamp = timestamps(np.array([ts_ms], dtype=np.int64))[0]
    middle = b',"value":[' + stamp + b',"'
    rows = zip(
        repeat(b'{"metric":'),
        label_objects(labels),
        repeat(middle),
        go_floats(values),
        repeat(b'"]}'),
        strict=False,
    )
    return b"[" + b",".join(map(b"".join, rows)) + b"]"


def matrix(labels: LabelTable, ts_ms: Ints, values: Floats) -> bytes:
    """Return a range vector; series without a sample are left out.

    Args:
        labels: One row for each series.
        ts_ms: Times of the columns, shape (steps,), or of each value, shape (series, steps).
        values: Shape (series, steps); NO_SAMPLE where there is none.
    """
    series, steps = values.shape
    if not series or not steps:
        return b"[]"
    metrics = label_objects(labels)
    shared = _stamps(ts_ms) if ts_ms.ndim == 1 else None
    per_chunk = max(1, _CHUNK_POINTS // steps)
    parts = []
    for start in range(0, series, per_chunk):
        rows = slice(start, start + per_chunk)
        at_row, at_step = np.nonzero(~is_no_sample(values[rows]))
        if len(at_row):
            numbers = go_floats(values[rows][at_row, at_step])
            own = shared[at_step] if shared is not None else _stamps(ts_ms[rows][at_row, at_step])
            parts.append(_chunk(metrics[rows], at_row, own, numbers))
    return b"[" + b",".join(parts) + b"]"


def _stamps(ts_ms: Ints) -> Objects:
    """Return what stands between two values: the end of one point and the time of the next."""
    pieces = zip(repeat(b'"],['), timestamps(ts_ms), repeat(b',"'), strict=False)
    return np.array(list(map(b"".join, pieces)), dtype=object)


def _chunk(metrics: list[bytes], at_row: Indices, stamps: Objects, numbers: list[bytes]) -> bytes:
    """Render some series: each point is its stamp and its number; a series' first stamp opens it."""
    for number, point in enumerate(np.flatnonzero(np.diff(at_row, prepend=-1)).tolist()):
        close = b'"]]},{"metric":' if number else b'{"metric":'
        opening = close + metrics[at_row[point]] + b',"values":['
        stamps[point] = opening + stamps[point].removeprefix(b'"],')
    pieces: list[bytes] = [b""] * (2 * len(numbers))
    pieces[0::2] = stamps.tolist()
    pieces[1::2] = numbers
    return b"".join(pieces) + b'"]]}'


def scalar(ts_ms: int, value: float) -> bytes:
    """Return a scalar: ``[t,"v"]``."""
    stamp = timestamps(np.array([ts_ms], dtype=np.int64))[0]
    return b"[" + stamp + b',"' + go_floats(np.array([value], dtype=np.float64))[0] + b'"]'


def string(ts_ms: int, value: str) -> bytes:
    """Return a string result: ``[t,"text"]``."""
    stamp = timestamps(np.array([ts_ms], dtype=np.int64))[0]
    return b"[" + stamp + b"," + json_text(value) + b"]"
