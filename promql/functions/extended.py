"""rate, increase and delta over ``anchored`` and ``smoothed`` selectors.

Their windows reach a lookback further back (smoothed ones also further on), so that there is a
value at each end of the range: the last one before it, or one interpolated between neighbours
(``promql/functions.go`` extendedRate). Nothing is extrapolated.
"""

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from model.samples import Bools, Floats, Ints
from promql.block import Block
from promql.call import CallContext
from promql.functions.mixed import say_mixed
from promql.functions.starts import begins_anew, begun_after, start_resets
from promql.histogram.extended import histogram_rise
from promql.histogram.over_time import WindowResults, only_histograms
from promql.histogram.rate import Task
from promql.windows import Chunk, Extension, Index, Windows


class Point(Struct, frozen=True):
    """A sample of each window: value, time and start timestamp; arrays that broadcast to (k, S)."""

    value: Floats
    ts_ms: Ints
    start_ms: Ints


def between(before: Point, after: Point, at_ms: Ints, *, counter: bool) -> Floats:
    """Interpolate; a counter that fell is taken to have begun at zero."""
    low = before.value
    if counter:
        low = np.where(after.value < low, 0.0, low)
    with np.errstate(all="ignore"):
        # in this order of operations, as Prometheus rounds
        out: Floats = low + (after.value - low) * (at_ms - before.ts_ms) / (
            after.ts_ms - before.ts_ms
        )
    return out


class Ends(Struct, frozen=True):
    """What a chunk's windows have at the ends of the range.

    Attributes:
        here: bool, shape (k, S): whether there is anything.
        late: bool, shape (k, S): whether the first sample lies behind the range, so that nothing rose in it.
        left: float64, shape (k, S).
        right: float64, shape (k, S).
        left_start_ms: Start timestamp that belongs to ``left``, 0 for none.
        right_start_ms: Likewise to ``right``.
        low: int64, shape like the chunk's ``low``: first sample that lies within the range.
        high: Behind the last sample that lies within, its very end not counted.
    """

    here: Bools
    late: Bools
    left: Floats
    right: Floats
    left_start_ms: Ints
    right_start_ms: Ints
    low: Index
    high: Index


def _point(chunk: Chunk, index: Index, *, counter: bool) -> Point:
    times = chunk.time_at(index)
    if chunk.start_ms is None or not counter:
        return Point(chunk.value_at(index), times, np.zeros_like(times))
    return Point(chunk.value_at(index), times, chunk.gather(chunk.start_ms, index))


def edge_samples(chunk: Chunk, extension: Extension) -> tuple[Index, Index]:
    """Return the samples at or around both ends: the last one up to the start, and the one the end is read off."""
    assert chunk.inner_low is not None
    assert chunk.inner_high is not None
    last = chunk.high - 1
    first = np.maximum(chunk.low, np.minimum(chunk.inner_low, last) - 1)
    return first, np.minimum(chunk.inner_high, last) if extension.smoothed else last


def range_ends(windows: Windows, chunk: Chunk, extension: Extension, *, counter: bool) -> Ends:
    """Work out the values at both ends of each range; the chunk holds floats only."""
    starts, ends = extension.starts_ms, extension.ends_ms
    first, last = edge_samples(chunk, extension)
    begin, end = (_point(chunk, index, counter=counter) for index in (first, last))
    here = (chunk.count() > 0) & (end.ts_ms > starts)
    late = begin.ts_ms > ends
    if counter:
        # nothing is known of a range before the first sample, unless the counter began within it
        begun = begun_after(windows.starts_ms, begin.start_ms, begin.ts_ms)
        late = late & ~(begun & ~begun_after(ends, begin.start_ms, begin.ts_ms))
    left, left_start = _left(windows, chunk, extension, begin, first, counter=counter)
    right, right_start = _right(windows, chunk, extension, end, last, counter=counter)
    # samples at or beyond the ends are what left and right stand for
    low = np.where(begin.ts_ms <= starts, first + 1, first)
    high = np.where(end.ts_ms >= ends, last, last + 1)
    shape = chunk.shape
    return Ends(
        np.broadcast_to(here, shape),
        np.broadcast_to(late, shape),
        np.broadcast_to(left, shape),
        np.broadcast_to(right, shape),
        np.broadcast_to(left_start, shape),
        np.broadcast_to(right_start, shape),
        np.broadcast_to(low, shape),
        np.broadcast_to(np.maximum(low, high), shape),
    )


def _before_all(
    windows: Windows, extension: Extension, point: Point, at_ms: Ints, *, counter: bool
) -> Floats:
    """Return the value at a time that no sample lies before: zero once the counter began, if that is seen."""
    if not counter:
        return point.value
    seen = begun_after(windows.starts_ms, point.start_ms, point.ts_ms)
    zero = replace(point, value=np.zeros_like(point.value), ts_ms=point.start_ms)
    inner = between(zero, point, at_ms, counter=True) if extension.smoothed else 0.0
    later = begun_after(at_ms, point.start_ms, point.ts_ms)
    return np.where(seen, np.where(later, 0.0, inner), point.value)


def _left(
    windows: Windows,
    chunk: Chunk,
    extension: Extension,
    begin: Point,
    first: Index,
    *,
    counter: bool,
) -> tuple[Floats, Ints]:
    at = extension.starts_ms
    known = np.where(begin.start_ms > at, 0, begin.start_ms)
    after = _point(chunk, np.minimum(first + 1, chunk.high - 1), counter=counter)
    before, start = begin, known
    if counter:
        later = begun_after(at, after.start_ms, after.ts_ms)
        anew = begins_anew(begin.start_ms, begin.ts_ms, after.start_ms, after.ts_ms) & ~later
        after = _begun(after, after.start_ms, later)
        before = _begun(begin, after.start_ms, anew)
        start = np.where(anew, after.start_ms, known)
    value = before.value
    if extension.smoothed:
        value = between(before, after, at, counter=counter)
    exact, behind = begin.ts_ms == at, begin.ts_ms > at
    lone = _before_all(windows, extension, begin, at, counter=counter)
    value = np.where(exact, begin.value, np.where(behind, lone, value))
    start = np.where(exact, begin.start_ms, np.where(behind, known, start))
    return value, start


def _right(
    windows: Windows,
    chunk: Chunk,
    extension: Extension,
    end: Point,
    last: Index,
    *,
    counter: bool,
) -> tuple[Floats, Ints]:
    at = extension.ends_ms
    known = np.where(end.start_ms > at, 0, end.start_ms)
    if not extension.smoothed:
        return end.value, known
    before = _point(chunk, np.maximum(last - 1, chunk.low), counter=counter)
    after, start = end, known
    if counter:
        later = begun_after(at, end.start_ms, end.ts_ms)
        anew = begins_anew(before.start_ms, before.ts_ms, end.start_ms, end.ts_ms) & ~later
        start = np.where(later, before.start_ms, known)
        after = _begun(end, end.start_ms, later)
        before = _begun(before, end.start_ms, anew)
    value = between(before, after, at, counter=counter)
    inside, only = end.ts_ms <= at, np.atleast_2d(last == chunk.low)
    lone = _before_all(windows, extension, end, at, counter=counter)
    value = np.where(inside, end.value, np.where(only, lone, value))
    return value, np.where(inside | only, known, start)


def _begun(point: Point, start_ms: Ints, where: Bools) -> Point:
    """Put a counter's start, with value 0, in place of a sample."""
    return Point(
        np.where(where, 0.0, point.value), np.where(where, start_ms, point.ts_ms), point.start_ms
    )


def _lost(chunk: Chunk, extension: Extension, found: Ends) -> Floats:
    """Return what resets within the range took from the counter; shape (k, S)."""
    anew = start_resets(chunk)
    with np.errstate(invalid="ignore"):
        marks = np.zeros(chunk.values.shape)
        fell = (chunk.values[:, 1:] < chunk.values[:, :-1]) | anew[:, 1:]
    marks[:, 1:] = np.where(fell, chunk.values[:, :-1], 0.0)
    whole = replace(chunk, low=found.low, high=found.high)
    lost = whole.over(marks, found.low + 1, found.high)
    starts = np.broadcast_to(extension.starts_ms, chunk.shape)
    some = found.high > found.low
    head, tail = (_point(whole, i, counter=True) for i in (found.low, found.high - 1))
    reset = (head.value < found.left) | begins_anew(
        found.left_start_ms, starts, head.start_ms, head.ts_ms
    )
    lost = lost + np.where(some & reset, found.left, 0.0)
    before = Point(
        np.where(some, tail.value, found.left),
        np.where(some, tail.ts_ms, starts),
        np.where(some, tail.start_ms, found.left_start_ms),
    )
    reset = (found.right < before.value) | begins_anew(
        before.start_ms, before.ts_ms, found.right_start_ms, extension.ends_ms
    )
    return lost + np.where(reset, before.value, 0.0)


def extended_rise(
    call: CallContext, windows: Windows, extension: Extension, *, counter: bool, per_second: bool
) -> Block:
    """Work out what the values gained over each range."""
    out = WindowResults(windows)
    seconds = windows.range_ms / 1000 if per_second else 1.0
    for whole in windows.chunks:
        chunk, had = whole.floats()
        some = np.broadcast_to(chunk.count() > 0, chunk.shape)
        if had is not None:
            say_mixed(call, windows, whole, had & some, call.node.args[0])
            some = some & ~had
        if some.any():
            found = range_ends(windows, chunk, extension, counter=counter)
            with np.errstate(all="ignore"):
                values = found.right - found.left
                if counter:
                    values = values + _lost(chunk, extension, found)
                out.floats(whole, values / seconds, found.here & ~found.late & some)
        if had is not None:
            only, had_floats = only_histograms(whole)
            task = Task(call, windows, only, counter)
            where, pool = histogram_rise(task, extension, had & ~had_floats, seconds)
            out.histograms(whole, where, pool)
    return out.block()


def extended_points(windows: Windows, extension: Extension) -> Windows:
    """Return range vectors of one step with a sample at both ends of the range, as a query by itself shows them."""
    chunks = []
    for chunk in windows.chunks:
        found = range_ends(windows, chunk, extension, counter=False)
        rows = np.flatnonzero(found.here[:, 0])
        if not len(rows):
            continue
        count = found.high[rows] - found.low[rows]
        width = int(count.max()) + 2
        at = np.broadcast_to(np.arange(width), (len(rows), width))
        index = np.clip(found.low[rows] + at - 1, 0, chunk.values.shape[1] - 1)
        is_left, is_right = at == 0, at == count + 1
        inner = np.take_along_axis(chunk.values[rows], index, axis=1)
        values = np.where(is_left, found.left[rows], np.where(is_right, found.right[rows], inner))
        times = np.take_along_axis(chunk.ts_ms[chunk.ts_row[rows]], index, axis=1)
        times = np.where(is_left, extension.starts_ms, np.where(is_right, extension.ends_ms, times))
        low = np.zeros((len(rows), 1), dtype=np.int64)
        chunks.append(Chunk(chunk.rows[rows], times, np.arange(len(rows)), values, low, count + 2))
    return replace(windows, chunks=tuple(chunks), extension=None)
