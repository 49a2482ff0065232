"""Range vectors as the JSON of Prometheus's API: arrays to bytes in bulk, some series at a time."""

import itertools
from collections.abc import Iterator
from functools import cached_property
from itertools import repeat
from typing import Final

import numpy as np
import numpy.typing as npt

from model.histogram.pool import HistogramPool, Int32s
from model.samples import Floats, Ints, is_no_sample
from promql.result import Matrix
from web.api.histograms import histogram_objects
from web.api.label_text import label_objects
from web.api.numbers import go_floats, timestamps
from web.api.points import Stamps, series_texts

Objects = npt.NDArray[np.object_]
Indices = npt.NDArray[np.intp]

_CHUNK_POINTS: Final = 16_384  # points rendered at once; bounds the memory of a large answer


def matrix(result: Matrix) -> Iterator[bytes]:
    """Yield a range vector in pieces; series without a sample are left out."""
    series, steps = result.values.shape
    yield b"["
    if series and steps:
        metrics = label_objects(result.labels)
        shared = _Shared(result.ts_ms) if result.ts_ms.ndim == 1 else None
        per_chunk = max(1, _CHUNK_POINTS // steps)
        comma = b""
        for start in range(0, series, per_chunk):
            rows = slice(start, start + per_chunk)
            if text := _rendered(result, metrics[rows], rows, shared):
                yield comma + text
                comma = b","
    yield b"]"


class _Shared:
    """The times of the columns where all series share them, in both forms."""

    def __init__(self, ts_ms: Ints) -> None:
        self.stamps = Stamps.of(ts_ms)
        self._ts_ms = ts_ms

    @cached_property
    def objects(self) -> Objects:
        """What stands before each point; shape (steps,)."""
        return _stamps(self._ts_ms)


def _rendered(result: Matrix, metrics: list[bytes], rows: slice, shared: _Shared | None) -> bytes:
    """Render some series; ``shared`` holds the times of the columns if all series share them."""
    values = result.values[rows]
    at_row, at_step, present = _present(values)
    without = result.hist is None or not (result.hist.index[rows] >= 0).any()
    if without and not len(at_row):
        return b""
    if without and shared is not None and shared.stamps and not np.isinf(present).any():
        return series_texts(shared.stamps, present, at_row, at_step, metrics)
    numbers = go_floats(present)
    times = result.ts_ms
    own = shared.objects[at_step] if shared is not None else _stamps(times[rows][at_row, at_step])
    if result.hist is None or without:
        return _chunk(metrics, at_row, own, numbers)
    floats = _lists(at_row, len(metrics), own.tolist(), numbers, b'"]')
    index = result.hist.index[rows]
    at_row, at_step = np.nonzero(index >= 0)
    own_ms = times[at_step] if times.ndim == 1 else times[rows][at_row, at_step]
    stamps = [b"],[" + stamp + b"," for stamp in timestamps(own_ms)]
    texts = histogram_texts(result.hist.pool, index[at_row, at_step])
    histograms = _lists(at_row, len(metrics), stamps, texts, b"]")
    parts = []
    for metric, some, other in zip(metrics, floats, histograms, strict=True):
        tail = b',"values":[' + some + b"]" if some else b""
        tail += b',"histograms":[' + other + b"]" if other else b""
        if tail:
            parts.append(b'{"metric":' + metric + tail + b"}")
    return b",".join(parts)


def _present(values: Floats) -> tuple[Indices, Indices, Floats]:
    """Return row, step and value of each float."""
    here = ~is_no_sample(values)
    if here.all():
        series, steps = values.shape
        every = np.arange(series), np.arange(steps)
        return np.repeat(every[0], steps), np.tile(every[1], series), values.reshape(-1)
    at_row, at_step = np.nonzero(here)
    return at_row, at_step, values[at_row, at_step]


def histogram_texts(pool: HistogramPool, index: Int32s) -> list[bytes]:
    """Return the JSON of the histograms named, shape (n,); one that is named often is made once."""
    used, place = np.unique(index, return_inverse=True)
    texts = histogram_objects(pool.take(used))
    return list(map(texts.__getitem__, place.reshape(-1).tolist()))


def _lists(
    at_row: Indices, size: int, stamps: list[bytes], texts: list[bytes], end: bytes
) -> list[bytes]:
    """Join the points of each series, without the brackets of the list; "" where it has none."""
    pieces: list[bytes] = [b""] * (2 * len(texts))
    pieces[0::2] = stamps
    pieces[1::2] = texts
    bounds = np.searchsorted(at_row, np.arange(size + 1)).tolist()
    joined = (b"".join(pieces[2 * a : 2 * b]) for a, b in itertools.pairwise(bounds))
    # each stamp begins with what closes the point before it
    return [one[one.index(b"[") :] + end if one else b"" for one in joined]


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
